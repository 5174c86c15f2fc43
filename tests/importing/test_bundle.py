"""Public checkpoints with tiny random weights become a bundle, in whichever form they come."""

import json
import pickle
import sys
import types
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_sources import ldm_unet, networks, tiny, with_averages, write_files, write_folders

from xbind.conditioning.text import encode_text
from xbind.importing import bundle as importing
from xbind.importing import folders as import_parts
from xbind.importing.architectures import reduced
from xbind.importing.bundle import import_bundle
from xbind.importing.checkpoint import CheckpointError, read_checkpoint
from xbind.importing.convert import sampled_unet
from xbind.importing.folders import Sources
from xbind.models.bind import BindModel
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleError, load_manifest, verify

ARCHITECTURE = tiny(reduced())


class ModelCheckpoint:
    """A class of the trainer that wrote a checkpoint."""


@pytest.fixture(scope="module")
def nets():
    return networks(ARCHITECTURE, BindModel)


@pytest.fixture(scope="module")
def source(tmp_path_factory, nets):
    """Folders, and files in which a trainer's class stands beside the weights."""
    folder = tmp_path_factory.mktemp("source")
    d = ARCHITECTURE.bind.embed_dim
    write_folders(folder, ARCHITECTURE, nets, torch.zeros(1, d), torch.ones(1, d))
    name = "pytorch_lightning.callbacks.model_checkpoint"
    parts = name.split(".")
    modules = {".".join(parts[: i + 1]): types.ModuleType("x") for i in range(len(parts))}
    modules[name].ModelCheckpoint = ModelCheckpoint
    ModelCheckpoint.__module__ = name
    sys.modules.update(modules)
    write_files(folder / "files", nets, {"callbacks": {ModelCheckpoint: {"best": 1.0}}})
    for module in modules:
        del sys.modules[module]
    return folder


def sources(source, kind="folders"):
    unclip, zero123 = source / "unclip", source / "zero123"
    clip = unclip
    if kind == "files":
        clip = unclip = source / "files/unclip.ckpt"
        zero123 = source / "files/zero123.ckpt"
    tokenizer = source / "unclip/tokenizer"
    return Sources(
        unclip=unclip, zero123=zero123, imagebind=source / "imagebind.pth", clip=clip,
        tokenizer=tokenizer,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "sd"
    return import_bundle(sources(source), out, ARCHITECTURE, lambda line: None)


def test_every_tensor_arrives(bundle, nets):
    verify(bundle)
    loaded = load_bundle(bundle)
    for got, want in (
        (loaded.unclip.unet, nets["unet2d"]),
        (loaded.unclip.vae, nets["vae2d"]),
        (loaded.zero123.unet, nets["unet3d"]),
        (loaded.zero123.vae, nets["vae3d"]),
        (loaded.zero123.image_encoder, nets["image_encoder"]),
        (loaded.zero123.projection, nets["projection"]),
        (loaded.clip, nets["clip"]),
        (loaded.bind.model, nets["bind"]),
    ):
        state, expected = got.state_dict(), want.state_dict()
        assert state.keys() == expected.keys()
        for name, x in expected.items():
            torch.testing.assert_close(state[name], x, rtol=1e-3, atol=1e-5, msg=name)


def test_half_where_it_suffices_and_whole_where_it_is_needed(bundle):
    def dtypes(name):
        return {x.dtype for x in load_file(bundle.folder / name).values()}

    assert dtypes("unclip/unet/diffusion_pytorch_model.safetensors") == {torch.float16}
    assert dtypes("unclip/vae/diffusion_pytorch_model.safetensors") == {torch.float32}
    assert dtypes("zero123/clip_camera_projection/model.safetensors") == {torch.float32}
    bind = load_file(bundle.folder / "bind/model.safetensors")
    scales = {k: x for k, x in bind.items() if "logit_scale" in k}
    assert len(scales) == 5
    assert {x.dtype for x in scales.values()} == {torch.float32}
    assert {x.dtype for k, x in bind.items() if k not in scales} == {torch.float16}


def test_the_empty_prompt_is_the_text_encoder_s(bundle, nets):
    context = load_file(bundle.part("unclip.empty_prompt"))["context"]
    ids = torch.tensor([[512, 513] + [0] * 75])
    want = nets["text"](ids).last_hidden_state
    torch.testing.assert_close(context, want, rtol=1e-4, atol=1e-5)


def test_embeddings_are_brought_to_the_length_of_the_bundle_s_clip(bundle, nets):
    norms = set(bundle.raw["embedding_norm"].values())
    assert bundle.raw["embedding_norm"].keys() == ARCHITECTURE.bind.trunks.keys()
    pixels = torch.randn(8, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    typical = float(nets["clip"](pixel_values=pixels).image_embeds.norm(dim=-1).mean())
    assert len(norms) == 1
    assert norms.pop() == pytest.approx(typical, rel=0.3)


def test_the_manifest_says_licences_and_origins(bundle, source):
    assert "NO COMMERCIAL USE" in bundle.raw["licence"]["bind"]
    assert bundle.raw["sources"]["unclip"] == str(source / "unclip")
    assert bundle.raw["weights"] == "imported"
    assert not (bundle.folder / importing.PROGRESS).exists()


def test_taesd_is_a_part_where_it_was_given(bundle, source, tmp_path):
    from diffusers import AutoencoderTiny

    torch.manual_seed(1)
    net = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
    )  # fmt: skip
    net.save_pretrained(tmp_path / "taesd")
    given = replace(sources(source), taesd=tmp_path / "taesd")
    found = import_bundle(given, tmp_path / "b", ARCHITECTURE, lambda line: None)
    verify(found)
    state = load_bundle(found).taesd.state_dict()
    for name, x in net.state_dict().items():
        assert torch.equal(state[name], x), name
    assert found.raw["licence"]["taesd"] == "MIT"
    assert found.raw["sources"]["taesd"] == str(tmp_path / "taesd")
    assert not bundle.has("taesd")
    assert load_bundle(bundle).taesd is None
    assert "taesd" not in bundle.raw["licence"] | bundle.raw["sources"]


def test_words_reach_the_text_tower(bundle):
    encoder = load_bundle(bundle).bind
    ids = encode_text("mug", encoder.tokenizer).ids
    assert ids[0] == 512
    assert ids[4] == 513
    with torch.inference_mode():
        assert encoder.model.embed("text", ids[None]).shape == (1, 64)


def test_single_files_give_the_same_bundle(bundle, source, tmp_path):
    other = import_bundle(sources(source, "files"), tmp_path / "b", ARCHITECTURE, lambda line: None)
    weights = [name for name in bundle.files if name.endswith(".safetensors")]
    assert len(weights) == 11
    for name in weights:
        want, got = load_file(bundle.folder / name), load_file(other.folder / name)
        assert got.keys() == want.keys(), name
        for key in want:
            assert torch.equal(got[key], want[key]), (name, key)


def averages_of(nets):
    """A UNet unlike the trained one, under the names of a checkpoint in one file."""
    return {k: x + 0.25 for k, x in ldm_unet(nets["unet3d"]).items()}


def with_ema(source, nets, path, change=lambda averages: None):
    """Zero-1-to-3 in one file, with moving averages."""
    state = read_checkpoint(source / "files/zero123.ckpt")
    averages = averages_of(nets)
    change(averages)
    torch.save({"state_dict": with_averages(state, averages)}, path)
    return replace(sources(source, "files"), zero123=path)


def test_moving_averages_are_taken_where_they_are_and_it_is_said(source, nets, tmp_path):
    given, lines = with_ema(source, nets, tmp_path / "z.ckpt"), []
    found = import_bundle(given, tmp_path / "b", ARCHITECTURE, lines.append)
    verify(found)
    unet = load_bundle(found).zero123.unet.state_dict()
    for name, x in nets["unet3d"].state_dict().items():
        torch.testing.assert_close(unet[name], x + 0.25, rtol=1e-3, atol=1e-5, msg=name)
    projection = load_bundle(found).zero123.projection.state_dict()
    assert all(torch.equal(projection[k], x) for k, x in nets["projection"].state_dict().items())
    taken = {"unclip/unet": import_parts.RAW, "zero123/unet": import_parts.EMA}
    assert found.raw["taken"] == taken
    said = {line.partition(":")[0]: line for line in lines}
    assert said["zero123/unet"].endswith("z.ckpt, moving averages of the weights (EMA)")
    assert said["unclip/unet"].endswith("weights as trained: the file has no EMA")


def test_folders_leave_nothing_to_choose(bundle):
    assert "taken" not in bundle.raw


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("model.diffusion_model.out.2.bias"), r"no average of model\.diff.*out\.2"),
        (
            lambda a: a.update({"model.diffusion_model.more.weight": torch.ones(1)}),
            r"has model_ema\.diffusion_modelmoreweight, of no weight in it",
        ),
    ],
)
def test_averages_of_a_part_of_the_network_are_refused(source, nets, tmp_path, change, message):
    given = with_ema(source, nets, tmp_path / "z.ckpt", change)
    with pytest.raises(CheckpointError, match=message + r"[\s\S]*Get the whole checkpoint"):
        import_bundle(given, tmp_path / "b", ARCHITECTURE, lambda line: None)


def test_counters_alone_are_no_averages():
    raw = {"model.diffusion_model.out.2.bias": torch.ones(1)}
    state, is_average = sampled_unet(with_averages(raw, {}))
    assert not is_average
    assert state.keys() == raw.keys()


def test_what_another_version_has_converted_is_converted_again(source, tmp_path, monkeypatch):
    out, lines = tmp_path / "b", []

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_bundle(sources(source), out, ARCHITECTURE, stop)
    monkeypatch.setattr(importing, "digest_of", lambda modules: "of another version")
    import_bundle(sources(source), out, ARCHITECTURE, lines.append)
    assert not any(line.endswith("is there") for line in lines)


def test_an_interrupted_import_goes_on(source, tmp_path, monkeypatch):
    out, lines = tmp_path / "b", []

    def stop(line):
        lines.append(line)
        if line.startswith("zero123/unet"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_bundle(sources(source), out, ARCHITECTURE, stop)
    assert not (out / "bundle.json").exists()
    (out / "unclip/vae/config.json").write_text("{}")  # and something was damaged since
    lines.clear()
    import_bundle(sources(source), out, ARCHITECTURE, lines.append)
    kept = {line.split(":")[0] for line in lines if line.endswith("is there")}
    assert "unclip/unet" in kept
    assert "zero123/unet" in kept
    assert "unclip/vae" not in kept
    verify(load_manifest(out))


def test_a_bundle_is_not_written_over(bundle, source):
    with pytest.raises(BundleError, match="holds a bundle already"):
        import_bundle(sources(source), bundle.folder, ARCHITECTURE, lambda line: None)


def test_another_network_is_refused_with_what_differs(source, tmp_path):
    wide = replace(ARCHITECTURE, bind=replace(ARCHITECTURE.bind, embed_dim=32))
    with pytest.raises(CheckpointError) as refusal:
        import_bundle(sources(source), tmp_path / "b", wide, lambda line: None)
    assert "another network" in str(refusal.value)
    assert "modality_heads.audio.2.weight of shape [64, 64], wanted [32, 64]" in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("modality_heads.imu.3.weight"), r"lacks modality_heads\.imu\.3\.weight"),
        (lambda s: s.update(extra=torch.ones(2)), "has extra, which nothing here reads"),
        (lambda s: s["modality_heads.imu.3.weight"].fill_(torch.nan), "not finite"),
        (
            lambda s: s.update(
                {"modality_heads.imu.3.weight": torch.ones(64, 64, dtype=torch.int8)}
            ),
            "as torch.int8",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named(source, tmp_path, change, message):
    state = torch.load(source / "imagebind.pth", weights_only=True)
    change(state)
    save_file(state, tmp_path / "imagebind.safetensors")
    given = replace(sources(source), imagebind=tmp_path / "imagebind.safetensors")
    with pytest.raises(CheckpointError, match=message):
        import_bundle(given, tmp_path / "b", ARCHITECTURE, lambda line: None)


def test_a_folder_without_weights_or_camera_is_refused(source, tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text(json.dumps(dict(ARCHITECTURE.unet2d)))
    given = replace(sources(source), unclip=tmp_path)
    with pytest.raises(CheckpointError, match="holds no weights; wanted one of"):
        import_bundle(given, tmp_path / "b", ARCHITECTURE, lambda line: None)


class Evil:
    def __reduce__(self):
        return (print, ("opened",))


def test_a_pickle_that_would_run_code_is_not_opened(tmp_path, capsys):
    torch.save({"w": torch.ones(1), "evil": Evil()}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"could run code: .*print[\s\S]*safetensors"):
        read_checkpoint(tmp_path / "a.ckpt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ckpt", b"", "damaged or no checkpoint"),
        ("a.ckpt", pickle.dumps([1, 2]), "holds more than tensors.*another kind"),
        ("a.safetensors", b"\x00" * 20, "is damaged"),
        ("a.txt", b"x", "no checkpoint by its name"),
        ("none.ckpt", None, "does not exist"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / name)
