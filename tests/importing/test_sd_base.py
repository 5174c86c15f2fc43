"""Stable Diffusion 2.1-base as a part of a bundle: imported, chosen, guided by text."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tiny_sources import networks, sd_base_networks, tiny, write_folders, write_sd_base

from xbind.algorithm.prior_error import prior_errors
from xbind.algorithm.reference_view import sample_unclip
from xbind.algorithm.supervision import Condition, Supervision, make_condition
from xbind.batch.jobs import make_job
from xbind.batch.worker import Worker
from xbind.conditioning.errors import PromptError
from xbind.conditioning.prompt import encode_prompt
from xbind.config.method import GuidanceConfig
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import preset_named
from xbind.config.variants import method_named
from xbind.engine.store import EngineStore
from xbind.importing.architectures import reduced, sd21, with_sd_base
from xbind.importing.bundle import import_bundle
from xbind.importing.checkpoint import CheckpointError
from xbind.importing.folders import Sources
from xbind.importing.random_weights import networks as network_shapes
from xbind.memory.plan import Counter
from xbind.models.bind import BindModel
from xbind.networks.build import build
from xbind.networks.fingerprint import key_of
from xbind.networks.graphs import (
    GraphRequest,
    make_module,
    requests_of_parts,
    requests_of_phase,
    sample_inputs,
    steps_of,
)
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleError, load_manifest, verify
from xbind.scene.cameras import Cameras

ARCHITECTURE = tiny(reduced())
EPSILON = {**ARCHITECTURE.scheduler2d, "prediction_type": "epsilon"}
TEXT = "a red mug"
WORDED = GuidanceConfig(view_words=True, weighting="sds", w_img=0.0)


@pytest.fixture(scope="module")
def nets():
    return sd_base_networks(with_sd_base(ARCHITECTURE))


@pytest.fixture(scope="module")
def source(tmp_path_factory, nets):
    folder, d = tmp_path_factory.mktemp("source"), ARCHITECTURE.bind.embed_dim
    others = networks(ARCHITECTURE, BindModel)
    write_folders(folder, ARCHITECTURE, others, torch.zeros(1, d), torch.ones(1, d))
    write_sd_base(folder / "sd_base", nets, EPSILON)
    return folder


def sources(source, name="sd_base"):
    return Sources(
        unclip=source / "unclip", zero123=source / "zero123", clip=source / "unclip",
        imagebind=source / "imagebind.pth", tokenizer=source / "unclip/tokenizer",
        sd_base=None if name is None else source / name,
    )  # fmt: skip


def import_of(source, out, name="sd_base"):
    return import_bundle(sources(source, name), out, ARCHITECTURE, lambda line: None)


@pytest.fixture(scope="module")
def imported(source, tmp_path_factory):
    return import_of(source, tmp_path_factory.mktemp("bundle") / "sd")


@pytest.fixture(scope="module")
def manifest(imported):
    return imported.with_prior_2d("sd_base")


@pytest.fixture(scope="module")
def bundle(manifest):
    return load_bundle(manifest)


@pytest.fixture(scope="module")
def encoded(bundle):
    return encode(bundle, PromptConfig(text=TEXT))


def encode(bundle, prompt):
    unclip = bundle.unclip
    return encode_prompt(prompt, bundle.bind, 64, text_encoder=unclip.text_encoder)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def config(manifest, **changes):
    prompt = changes.pop("prompt", PromptConfig(text=TEXT))
    return GenerateConfig(prompt=prompt, bundle=str(manifest.folder), engine="eager", **changes)


def test_every_tensor_arrives(imported, bundle, nets):
    verify(imported)
    unclip = bundle.unclip
    for got, want in (
        (unclip.unet, nets["unet"]),
        (unclip.vae, nets["vae"]),
        (unclip.text_encoder.model, nets["text_encoder"]),
    ):
        state, expected = got.state_dict(), want.state_dict()
        assert state.keys() == expected.keys()
        for name, x in expected.items():
            torch.testing.assert_close(state[name], x, rtol=1e-3, atol=1e-5, msg=name)
    assert unclip.schedule.prediction_type == "epsilon"
    assert (unclip.image_size, unclip.latent_shape) == (64, (4, 8, 8))
    halves = load_file(imported.folder / "sd_base/text_encoder/model.safetensors")
    assert {x.dtype for x in halves.values()} == {torch.float16}


def test_the_empty_prompt_is_the_text_encoder_s(bundle, nets):
    want = nets["text_encoder"](torch.tensor([[512, 513] + [0] * 75])).last_hidden_state
    torch.testing.assert_close(bundle.unclip.null_context, want, rtol=1e-4, atol=1e-5)


def test_a_single_file_gives_the_same_part(imported, source, tmp_path):
    other = import_of(source, tmp_path / "b", "sd_base.safetensors")
    names = [n for n in imported.files if n.startswith("sd_base/") and n.endswith("safetensors")]
    assert len(names) == 5
    for name in names:
        want, got = load_file(imported.folder / name), load_file(other.folder / name)
        assert got.keys() == want.keys(), name
        assert all(torch.equal(got[key], x) for key, x in want.items()), name
    assert other.raw["taken"]["sd_base/unet"] == "weights as trained: the file has no EMA"
    load_bundle(other.with_prior_2d("sd_base"))


def test_the_manifest_lists_it_with_licence_and_source(imported, source, tmp_path):
    assert dict(imported.priors_2d) == {"unclip": "unclip", "sd_base": "sd_base"}
    assert "Open RAIL++-M" in imported.raw["licence"]["sd_base"]
    assert imported.raw["sources"]["sd_base"] == str(source / "sd_base")
    assert (imported.chosen_2d, imported.with_prior_2d("unclip").chosen_2d) == (None, None)
    assert imported.with_prior_2d("sd_base").chosen_2d == "sd_base"
    without = import_of(source, tmp_path / "b", None)
    assert "sd_base" not in without.raw["licence"].keys() | without.raw["image_size"].keys()
    assert dict(without.priors_2d) == {"default": "unclip"}
    with pytest.raises(BundleError, match=r"no 2D prior 'sd_base'; it has: default\.\n.*prior-2d"):
        without.with_prior_2d("sd_base")


def altered(source, folder, path, **changes):
    """A copy of the checkpoint with other numbers in one of its configurations."""
    shutil.copytree(source / "sd_base", folder)
    file = folder / path
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        ("unet/config.json", {"sample_size": 12}, r"unet is of .* sample_size is 12, wanted 8"),
        ("unet/config.json", {"attention_head_dim": [4, 4, 4, 4]}, "attention_head_dim is"),
        ("unet/config.json", {"class_embed_type": "projection"}, "'projection', wanted None"),
        ("text_encoder/config.json", {"num_hidden_layers": 2}, "num_hidden_layers is 2, wanted 1"),
        ("text_encoder/config.json", {"hidden_act": "quick_gelu"}, "hidden_act is 'quick_gelu'"),
    ],
)
def test_another_network_of_the_family_is_refused(source, tmp_path, path, change, message):
    given = altered(source, tmp_path / "other", path, **change)
    wrong = replace(sources(source), sd_base=given)
    with pytest.raises(CheckpointError, match=rf"{message}(.|\n)*stable-diffusion-2-1-base"):
        import_bundle(wrong, tmp_path / "b", ARCHITECTURE, lambda line: None)


def test_unclip_in_its_place_is_refused(source, tmp_path):
    with pytest.raises(CheckpointError, match="is of another network"):
        import_of(source, tmp_path / "b", "unclip")


def test_the_public_sizes():
    shapes = network_shapes(with_sd_base(sd21()))
    with torch.device("meta"):
        nets = {n: shapes[f"sd_base/{n}"][0]() for n in ("unet", "text_encoder", "vae")}
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    assert count == {"unet": 865_910_724, "text_encoder": 340_387_840, "vae": 83_653_863}
    assert nets["unet"].config.sample_size == 64
    assert nets["unet"].config.cross_attention_dim == 1024
    assert nets["unet"].config.attention_head_dim == [5, 10, 20, 20]
    assert with_sd_base(sd21()).image_size["sd_base"] == 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pad": 514}, "pad is 514; wanted the id of one of 514 tokens"),
        ({"length": 78}, "byte pairs for 77 tokens at most"),
        ({"vocabulary": ["mug"]}, "tokenizer.json is not of byte pairs"),
    ],
)
def test_a_damaged_tokenizer_is_refused(manifest, tmp_path, monkeypatch, change, message):
    shutil.copytree(manifest.folder, tmp_path / "b")
    file = tmp_path / "b/sd_base/text_encoder/tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    monkeypatch.setattr("xbind.networks.load.verify", lambda manifest: None)
    with pytest.raises(BundleError, match=message):
        load_bundle(load_manifest(tmp_path / "b").with_prior_2d("sd_base"))


def test_engines_of_the_2d_prior_are_its_own(imported, manifest):
    def key(name, chosen):
        return key_of(GraphRequest(name, 1, 64), "onnxruntime", chosen).fields["weights"]

    for name in ("sds2d", "perp_neg2d", "cds2d", "sds2d_latents", "vsd2d", "unet2d", "vae_encode"):
        assert key(name, imported) != key(name, manifest), name
    for name in ("sds3d", "ms", "clip_image", "unet3d"):
        assert key(name, imported) == key(name, manifest), name


PLANAR = ("sds2d", "sds2d_img", "perp_neg2d", "sds2d_latents", "cds2d", "vsd2d")


@pytest.mark.parametrize("name", PLANAR)
def test_its_steps_take_no_class_vector(bundle, name):
    assert name in steps_of(bundle.manifest)
    request = GraphRequest(name, 2, 64, rank=2 if name == "vsd2d" else 0)
    inputs = sample_inputs(bundle, request, 0.5, seeded())
    step = make_module(bundle, name)
    assert set(inputs) == set(step.inputs)
    assert "class_labels" not in inputs
    assert inputs["context"].shape == (2, 77, 64)
    assert all(x.isfinite().all() for x in step(**inputs))


@pytest.mark.parametrize("name", ["perp_neg2d", "vsd2d", "unet2d"])
def test_engines_compute_what_torch_does(bundle, tmp_path, name):
    size, rank = 0 if name == "unet2d" else 64, 2 if name == "vsd2d" else 0
    request = GraphRequest(name, 2, size, rank=rank)
    entry = build(EngineStore(tmp_path), bundle, request, "onnxruntime")
    assert max(figure["relative"] for figure in entry.notes["parity"].values()) < 1e-3
    assert "class_labels" not in entry.spec.input_names


def test_the_text_is_encoded_with_each_view_word(bundle, encoded):
    texts = [TEXT, *(f"{TEXT}, {word} view" for word in ("side", "front", "back", "overhead"))]
    want = bundle.unclip.text_encoder.encode(texts)
    assert torch.equal(encoded.contexts, want)
    assert len({tuple(row.flatten().tolist()) for row in want}) == 5
    assert encode_prompt(PromptConfig(text=TEXT), bundle.bind, 64).contexts is None


def test_a_prompt_without_text_is_refused_with_what_to_type(bundle, manifest, tmp_path):
    from PIL import Image

    from xbind.run.preflight import check_generate

    Image.new("RGB", (8, 8)).save(tmp_path / "mug.png")
    prompt = PromptConfig(image=tmp_path / "mug.png")
    message = r'the prompt has none: it has --image.\n.*--text "a red mug", or leave out --prior-2d'
    early = config(manifest, prompt=prompt, prior_2d="sd_base", out=tmp_path / "run")
    with pytest.raises(PromptError, match=message):
        check_generate(early)
    check_generate(replace(early, prior_2d=None))
    preset = replace(early, prior_2d=None, method={"prior_2d": "sd_base"})
    with pytest.raises(PromptError, match=message):
        check_generate(preset)
    with pytest.raises(BundleError, match="no 2D prior 'broad'; it has: unclip, sd_base"):
        check_generate(replace(early, prior_2d="broad"))
    with pytest.raises(ValueError, match="--prior-2d is empty"):
        config(manifest, prior_2d=" ")


def test_the_view_word_must_fit_too(bundle):
    """Every letter is a token here: ", overhead view" has 13."""
    encode(bundle, PromptConfig(text="m" * 62))
    with pytest.raises(PromptError, match=r"with its view word has 76 tokens; .* at most 75"):
        encode(bundle, PromptConfig(text="m" * 63))


def test_other_modalities_are_said_to_be_left_out(bundle, tmp_path):
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).ellipse((16, 16, 48, 48), fill="red")
    picture.save(tmp_path / "ball.png")
    both = PromptConfig(text=TEXT, image=tmp_path / "ball.png")
    said = "the 2D prior reads the text alone, and not --image"
    assert said in encode(bundle, both).warnings
    assert said not in encode_prompt(both, bundle.bind, 64).warnings


def views(*azimuths):
    azimuth = torch.tensor([float(a) for a in azimuths])
    one = torch.ones_like(azimuth)
    return Cameras(0 * one, azimuth, 2.5 * one, 40 * one)


@pytest.fixture(scope="module")
def condition(bundle, encoded):
    reference = preset_named("probe").reference
    made = make_condition(encoded, bundle, reference, seeded(), stereo=False)
    return Condition.from_state(made.state())


@pytest.mark.parametrize("term", ["planar_s", "planar_c", "planar_latents"])
def test_views_are_guided_by_the_prompt_s_text(bundle, encoded, condition, term):
    shape = (3, 4, 8, 8) if term == "planar_latents" else (3, 3, 64, 64)
    draw = getattr(Supervision(bundle, condition), term)
    feeds = draw(WORDED, torch.rand(shape), views(90, 0, 180), 0.5, seeded()).feeds
    assert torch.equal(feeds["context"], encoded.contexts[[1, 2, 3]])
    assert torch.equal(feeds["null_context"], bundle.unclip.null_context)
    assert "class_labels" not in feeds
    plain = draw(GuidanceConfig(w_img=0.0), torch.rand(shape), views(90, 0, 180), 0.5, seeded())
    assert torch.equal(plain.feeds["context"], encoded.contexts[[0, 0, 0]])


def test_perp_neg_leads_away_from_whole_texts(bundle, encoded, condition):
    guidance = replace(WORDED, perp_neg=1.0)
    call = Supervision(bundle, condition).planar_s(
        guidance, torch.rand(1, 3, 64, 64), views(45), 0.5, seeded()
    )
    _, side, front, *_ = encoded.contexts
    torch.testing.assert_close(call.feeds["context"][0], (side + front) / 2)
    assert torch.equal(call.feeds["negatives"][0], torch.stack([front, side]))
    assert all(x.isfinite().all() for x in call.run())


def test_the_estimator_reads_the_text_without_a_view_word(bundle, encoded, condition):
    supervision = Supervision(bundle, condition)
    theta = supervision.start_theta(WORDED.estimator, seeded())
    call = supervision.planar_v(
        WORDED, torch.rand(2, 3, 64, 64), views(0, 90), theta, 0.5, seeded()
    )
    assert torch.equal(call.feeds["context_theta"], encoded.contexts[:1])
    assert torch.equal(call.feeds["context"], encoded.contexts[[2, 1]])
    seen = contexts_of(bundle.unclip.unet, call.run)
    estimator = encoded.contexts[:1].expand(2, -1, -1)
    assert sum(torch.equal(context, estimator) for context in seen) == 2  # compared, and trained


def contexts_of(unet, work):
    """The contexts that a network is given in each call."""
    seen = []
    hook = unet.register_forward_pre_hook(lambda net, args: seen.append(args[2].clone()))
    try:
        work()
    finally:
        hook.remove()
    return seen


def test_reference_views_are_drawn_and_compared_under_the_text(bundle, encoded, condition):
    unclip, context = bundle.unclip, encoded.contexts[:1]
    labels, both = condition.class_labels, torch.cat([context, unclip.null_context])

    def draw():
        sample_unclip(
            unclip, labels, count=1, steps=1, cfg_scale=3.0, generator=seeded(), context=context
        )

    (seen,) = contexts_of(unclip.unet, draw)
    assert torch.equal(seen, both)
    images = torch.rand(1, 3, 64, 64)
    (seen,) = contexts_of(
        unclip.unet,
        lambda: prior_errors(
            images, labels, unclip, timesteps=(500,), pairs=1, generator=seeded(), context=context
        ),
    )
    assert torch.equal(seen, context.expand(2, -1, -1))


def test_memory_is_counted_without_weights_and_without_the_text_encoder(manifest):
    method = replace(method_named("probe:prolificdreamer"), prior_2d="sd_base")
    requests = [r for part in requests_of_parts(method, manifest).values() for r in part]
    assert {request.name for request in requests} == {"vsd2d", "sds2d"}
    counted = Counter(manifest).count(GraphRequest("sds2d", 1, 64), "float32").weights
    unclip = load_bundle(manifest).unclip
    unet, vae = (4 * sum(p.numel() for p in net.parameters()) for net in (unclip.unet, unclip.vae))
    assert unet < counted < unet + vae


def test_the_prior_decides_the_job_and_the_networks_of_a_worker(manifest):
    preset = "probe:dreamfusion"
    asked = [config(manifest, preset=preset, prior_2d=prior) for prior in (None, "sd_base")]
    plain, text = (make_job(one).id for one in asked)
    assert plain != text
    assert make_job(replace(asked[0], prior_2d="unclip")).id == plain
    worker = Worker()
    for one, chosen in zip(asked, ("unclip", "sd_base"), strict=True):
        assert worker._networks_for(one).manifest.component_2d == chosen


def test_a_phase_shows_it_images_of_its_own_size(imported, manifest):
    raw = manifest.raw | {"image_size": manifest.raw["image_size"] | {"unclip": 128}}
    phase = replace(preset_named("probe").coarse, guidance=replace(WORDED, size_2d=64))
    for chosen, shown in ((imported, 64), (manifest, 0)):
        step = requests_of_phase(phase, replace(chosen, raw=raw))[0]
        assert step.shown == shown
