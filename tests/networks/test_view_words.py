"""View words as a component of a bundle: loaded, refused, and used only where they are."""

from dataclasses import replace

import pytest
import torch
from worded_bundle import random_words, write_bundle

from xbind.algorithm.contexts import context_feeds, perp_neg_context_feeds
from xbind.algorithm.supervision import Condition, Supervision
from xbind.config.method import CoarseConfig, GuidanceConfig
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import preset_named
from xbind.diffusion.view_words import VIEW_WORDS
from xbind.engine.errors import EngineError
from xbind.engine.store import EngineStore
from xbind.memory.plan import Counter
from xbind.networks.build import build
from xbind.networks.fingerprint import key_of
from xbind.networks.graphs import GraphRequest, make_module, requests_of_phase
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleError
from xbind.run.settings import run_settings
from xbind.scene.cameras import Cameras

WORDED = GuidanceConfig(view_words=True)


def cameras(*azimuths, elevation=0.0):
    azimuth = torch.tensor([float(a) for a in azimuths])
    one = torch.ones_like(azimuth)
    return Cameras(elevation * one, azimuth, 2.5 * one, 40 * one)


@pytest.fixture(scope="module")
def with_words(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("with") / "mini", random_words())


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("without") / "mini", None)


@pytest.fixture(scope="module")
def bundles(with_words, without):
    return load_bundle(with_words), load_bundle(without)


def predict(bundle, context, rng):
    z = torch.randn(2, 4, 16, 16, generator=rng)
    labels = torch.randn(2, 256, generator=rng)
    with torch.no_grad():
        return bundle.unclip.unet(
            z, torch.tensor([100, 900]), context.expand(2, -1, -1), class_labels=labels,
            return_dict=False,
        )[0]  # fmt: skip


def test_the_empty_prompt_is_bit_for_bit_what_it_was(bundles):
    worded, plain = bundles
    assert plain.unclip.contexts.shape == (1, 1, 128)
    assert worded.unclip.contexts.shape == (len(VIEW_WORDS), 1, 128)
    assert torch.equal(worded.unclip.null_context, plain.unclip.null_context)
    want, got, front = (
        predict(bundle, context, torch.Generator().manual_seed(3))
        for bundle, context in (
            (plain, plain.unclip.null_context),
            (worded, worded.unclip.null_context),
            (worded, worded.unclip.contexts[2:3]),
        )
    )
    assert torch.equal(got, want)
    assert (front - want).abs().max() > 0.1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"contexts": torch.zeros(3, 1, 128)}, r"shape \[3, 1, 128\]; wanted \[4, 1, 128\]"),
        ({"contexts": torch.zeros(4, 2, 128)}, r"shape \[4, 2, 128\]; wanted \[4, 1, 128\]"),
        ({"contexts": torch.full((4, 1, 128), torch.nan)}, "contexts holds numbers that are not"),
        ({"mid_block.nothing": torch.zeros(2)}, r"the UNet has no parameter mid_block.nothing"),
        ({"conv_in.bias": torch.zeros(65)}, r"no parameter conv_in.bias of \[65\]"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, why):
    manifest = write_bundle(tmp_path / "mini", random_words() | change)
    with pytest.raises(BundleError, match=why):
        load_bundle(manifest)


def test_a_file_without_contexts_is_refused(tmp_path):
    words = random_words()
    del words["contexts"]
    with pytest.raises(BundleError, match=r"views\.safetensors cannot be used"):
        load_bundle(write_bundle(tmp_path / "mini", words))


def test_each_view_has_the_context_of_its_word(bundles):
    table = bundles[0].unclip.contexts
    told = context_feeds(table, table[:1], WORDED, cameras(90, 0, 180))
    assert torch.equal(told["context"], table[[1, 2, 3]])
    assert torch.equal(told["null_context"], table[:1])
    overhead = context_feeds(table, table[:1], WORDED, cameras(0, elevation=61.0))
    assert torch.equal(overhead["context"], table[4:])
    for config, rows in ((GuidanceConfig(), table), (WORDED, bundles[1].unclip.contexts)):
        told = context_feeds(rows, rows[:1], config, cameras(90, 0, 180))
        assert torch.equal(told["context"], rows[[0, 0, 0]])


def test_perp_neg_weighs_by_its_factor(bundles):
    table = bundles[0].unclip.contexts
    half, whole = (
        perp_neg_context_feeds(table, table[:1], replace(WORDED, perp_neg=f), cameras(0, 120))
        for f in (0.5, 1.0)
    )
    torch.testing.assert_close(2 * half["negative_weights"], whole["negative_weights"])
    assert torch.equal(half["context"][0], table[2])
    torch.testing.assert_close(half["context"][1], 2 / 3 * table[1] + 1 / 3 * table[3])


@pytest.mark.parametrize(
    ("guidance", "worded", "name"),
    [
        (WORDED, True, "sds2d_img"),
        (replace(WORDED, perp_neg=1.0), True, "perp_neg2d_img"),
        (replace(WORDED, perp_neg=1.0, w_img=0.0), True, "perp_neg2d"),
        (replace(WORDED, perp_neg=1.0), False, "sds2d_img"),
    ],
)
def test_perp_neg_has_a_step_of_its_own(with_words, without, guidance, worded, name):
    manifest = with_words if worded else without
    requests = requests_of_phase(CoarseConfig(guidance=guidance), manifest)
    assert requests[0].name == name


def test_a_bundle_without_words_has_no_such_step(bundles):
    with pytest.raises(EngineError, match=r"needs 'unclip\.views', which bundle 'mini' does not"):
        make_module(bundles[1], "perp_neg2d")


def test_words_change_what_a_run_is_guided_to(bundles):
    worded, plain = bundles
    condition = Condition(torch.zeros(128), torch.ones(1, 256), torch.zeros(1, 4, 16, 16), None)

    def gradient(bundle, config, planar, *azimuths):
        image = torch.full((len(azimuths), 3, 64, 64), 0.5).requires_grad_()
        term = getattr(Supervision(bundle, condition), planar)
        generator = torch.Generator().manual_seed(1)
        loss = term(config, image, cameras(*azimuths), 0.5, generator).loss()
        return torch.autograd.grad(loss, image)[0]

    for planar in ("planar_s", "planar_c"):
        told = gradient(worded, WORDED, planar, 0, 180)
        untold = gradient(plain, WORDED, planar, 0, 180)
        assert torch.equal(gradient(worded, GuidanceConfig(), planar, 0, 180), untold)
        assert not torch.allclose(told, untold)
        back = gradient(worded, WORDED, planar, 0, 0)
        torch.testing.assert_close(back[0], told[0])
        assert not torch.allclose(back[1], told[1])
    perp = gradient(worded, replace(WORDED, perp_neg=1.0), "planar_s", 0, 180)
    assert not torch.allclose(perp, gradient(worded, WORDED, "planar_s", 0, 180))


def test_engines_know_the_adapter_but_only_where_there_is_one(with_words, without, tmp_path):
    other = write_bundle(tmp_path / "mini", random_words(seed=1))
    for name, same in (("sds2d", False), ("unet2d", False), ("vae_decode", True), ("ms", True)):
        request = GraphRequest(name, 2, 64)
        keys = {
            key_of(request, "onnxruntime", manifest).fields["weights"]
            for manifest in (with_words, without, other)
        }
        assert len(keys) == (1 if same else 3)


@pytest.mark.parametrize("name", ["sds2d", "perp_neg2d", "unet2d"])
def test_an_engine_hears_the_words(bundles, tmp_path, name):
    request = GraphRequest(name, 3, 64 if name != "unet2d" else 0)
    entry = build(EngineStore(tmp_path), bundles[0], request, "onnxruntime")
    assert max(figure["relative"] for figure in entry.notes["parity"].values()) < 1e-3


def test_a_run_says_what_its_words_are(with_words, without):
    config = GenerateConfig(prompt=PromptConfig(text="x"))
    method = preset_named("default")
    worded = replace(method, coarse=replace(method.coarse, guidance=WORDED))
    assert "view_words" not in run_settings(config, method, with_words, "cpu")
    said = [run_settings(config, worded, m, "cpu")["view_words"] for m in (with_words, without)]
    assert said == [
        "side, front, back, overhead",
        "none; this bundle has no view words (xbind bundle import, again)",
    ]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_memory_is_counted_without_weights(with_words, precision):
    counter = Counter(with_words)
    four = counter.count(GraphRequest("perp_neg2d", 1, 64), precision)
    two = counter.count(GraphRequest("sds2d", 1, 64), precision)
    assert four.weights == pytest.approx(two.weights, rel=0.02)
    assert four.activations > 1.15 * two.activations
