"""`bundle.json` and configurations of any shape, checkpoints that claim what they do not hold."""

import copy
import io
import json
import os
import re
import shutil
import zipfile

import pytest
import torch
from loader_seeds import MINI
from loader_targets import component
from safetensors.torch import save_file

from xbind.cli.main import main
from xbind.errors import XBindError
from xbind.importing.checkpoint import CheckpointError, read_checkpoint
from xbind.networks import load
from xbind.networks.components import load_tensors
from xbind.networks.load import load_bind, load_bundle, load_clip
from xbind.networks.manifest import BundleError, load_manifest

WHOLE = json.loads((MINI / "bundle.json").read_text())
HASH = 64 * "0"


def changed(*path, to):
    raw = copy.deepcopy(WHOLE)
    owner = raw
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = to
    return raw


SHAPES = {
    "a list": ([], "a list, not an object"),
    "a number": (3, "a number, not an object"),
    "null": (None, "null, not an object"),
    "format as text": (changed("format", to="1"), "format '1'"),
    "format as truth": (changed("format", to=True), "format True"),
    "name as list": (changed("name", to=["mini"]), "name is not a text"),
    "long name": (changed("name", to=5000 * "x"), "name is not a text"),
    "parts as list": (changed("parts", to=[]), "parts is not an object"),
    "part as number": (changed("parts", "bind", to=3), "parts has 3 for 'bind'"),
    "part as list": (changed("parts", "view", to=["x"]), "parts has ['x'] for 'view'"),
    "part outside": (changed("parts", "bind", to="../bind"), "inside of the bundle"),
    "part absolute": (changed("parts", "bind", to="/etc"), "inside of the bundle"),
    "files as null": (changed("files", to=None), "files is not an object"),
    "file outside": (changed("files", "../x", to={"sha256": HASH, "bytes": 1}), "inside of the"),
    "zero byte": (changed("files", "a\0b", to={"sha256": HASH, "bytes": 1}), "inside of the"),
    "record as text": (changed("files", "a", to=HASH), "no object for 'a'"),
    "hash as number": (changed("files", "a", to={"sha256": 5, "bytes": 1}), "no sha256 of 64"),
    "short hash": (changed("files", "a", to={"sha256": "ab", "bytes": 1}), "no sha256 of 64"),
    "no size": (changed("files", "a", to={"sha256": HASH}), "no number of bytes"),
    "negative size": (changed("files", "a", to={"sha256": HASH, "bytes": -1}), "no number of"),
    "sizes as list": (changed("image_size", to=[64]), "image_size is not an object"),
    "size as text": (changed("image_size", "unclip", to="64"), "image_size has '64'"),
    "size zero": (changed("image_size", "unclip", to=0), "image_size has 0"),
    "size huge": (changed("image_size", "zero123", to=10**30), "image_size has 1000"),
    "norm as text": (changed("embedding_norm", "text", to="11"), "embedding_norm has '11'"),
    "norm zero": (changed("embedding_norm", "text", to=0), "embedding_norm has 0"),
    "norm huge": (changed("embedding_norm", "depth", to=1e308), "embedding_norm has 1e+308"),
    "priors as list": (changed("priors_3d", to=[]), "priors_3d is not an object"),
    "prior as text": (changed("priors_3d", "wide", to="zero123"), "no component for 'wide'"),
    "2D priors as list": (changed("priors_2d", to=[]), "priors_2d is not an object"),
    "2D prior without parts": (
        changed("priors_2d", to={"u": {"component": "unclip"}, "x": {"component": "x"}}),
        "parts lacks x.unet, x.vae, x.scheduler, x.empty_prompt, x.views, x.text_encoder",
    ),
    "names as list": (changed("names", to=["a"]), "names is not a path"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bundle_json_of_another_shape_is_refused_in_words(shape, tmp_path):
    raw, told = SHAPES[shape]
    (tmp_path / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=re.escape(told)) as refusal:
        load_manifest(tmp_path)
    assert str(tmp_path / "bundle.json") in str(refusal.value)


def test_a_norm_that_is_nan_is_refused(tmp_path):
    text = json.dumps(changed("embedding_norm", "text", to=float("nan")))
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="holds NaN"):
        load_manifest(tmp_path)


@pytest.mark.parametrize("key", ["image_size", "embedding_norm"])
def test_a_table_that_is_missing_is_told_when_it_is_needed(tmp_path, key):
    bundle = tmp_path / "bundle"
    shutil.copytree(MINI, bundle, copy_function=lambda a, b: b)
    for source in MINI.rglob("*"):
        if source.is_file():
            (bundle / source.relative_to(MINI)).unlink(missing_ok=True)
            (bundle / source.relative_to(MINI)).symlink_to(source)
    (bundle / "bundle.json").unlink()
    raw = {k: v for k, v in WHOLE.items() if k != key}
    (bundle / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=f"cannot be used: KeyError: '{key}'"):
        load_bundle(load_manifest(bundle))


@pytest.mark.parametrize(
    ("role", "name", "content", "told"),
    [
        ("bind", "config.json", {}, "KeyError: 'trunks'"),
        ("bind", "config.json", {"trunks": []}, "AttributeError"),
        ("bind", "tokenizer.json", {"vocabulary": 3, "length": 16}, "no list of words"),
        ("bind", "tokenizer.json", {"vocabulary": ["a"], "length": 10**9}, "3 to 4096 tokens"),
        ("bind", "fbank.json", {"mels": 0}, "at least 1"),
        ("bind", "fbank.json", {"sample_rate": "x"}, "cannot be used"),
        ("bind", "depth.json", {"unknown": 1}, "TypeError"),
        ("bind", "depth.json", [], "a list, not an object"),
        ("clip", "config.json", {"hidden_size": "x"}, "cannot be used"),
        ("clip", "config.json", {"hidden_size": 1 << 20, "num_attention_heads": 1,
                                 "intermediate_size": 1 << 22}, "does not fit its configuration"),
    ],
)  # fmt: skip
def test_a_configuration_that_makes_no_sense_is_refused(role, name, content, told, tmp_path):
    """The last one asks for 100 TB, and is refused before any of it is taken."""
    (tmp_path / name).write_text(json.dumps(content))
    with component(tmp_path / name, role, name) as manifest, pytest.raises(BundleError, match=told):
        load_bind(manifest) if role == "bind" else load_clip(manifest.part("clip"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "KeyError"),
        ({"num_train_timesteps": 10**12}, "1 to 100000"),
        ({"num_train_timesteps": 10, "beta_schedule": "scaled_linear", "beta_start": 2,
          "beta_end": 3}, "no noise levels between 0 and 1"),
        ({"num_train_timesteps": 10, "beta_schedule": "scaled_linear", "beta_start": "x",
          "beta_end": 1}, "TypeError"),
        ({"num_train_timesteps": 10, "beta_schedule": ["linear"]}, "has the beta schedule"),
    ],
)  # fmt: skip
def test_a_schedule_that_makes_no_sense_is_refused(content, told, tmp_path):
    (tmp_path / "scheduler_config.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match=told):
        load._load_schedule(tmp_path)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"mean": torch.ones(2)}, "KeyError: 'std'"),
        ({"mean": torch.ones(2), "std": torch.tensor([1.0, torch.nan])}, "std holds numbers that"),
    ],
)
def test_tensors_of_a_bundle_must_be_there_and_finite(state, told, tmp_path):
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(BundleError, match=told):
        load_tensors(tmp_path / "a.safetensors", "mean", "std")


def saved(content, zipped=True):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.zeros(1).expand(1 << 20, 1 << 20), r"w claims the shape \[1048576, 1048576\]"),
        (torch.eye(3).to_sparse(), "w as a sparse, quantised or empty tensor"),
        (torch.ones(3, device="meta"), "w as a sparse, quantised or empty tensor"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_that_hold_nothing_are_refused(tensor, told, zipped, tmp_path):
    (tmp_path / "a.ckpt").write_bytes(saved({"w": tensor}, zipped))
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(tmp_path / "a.ckpt")


def test_a_damaged_table_of_an_archive_is_refused(tmp_path):
    """The pickle inside of a whole archive is cut: the search for unsafe names fails in it."""
    source = io.BytesIO(saved({"w": torch.ones(3)}))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(tmp_path / "a.ckpt", "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(entry, data[:20] if entry.filename.endswith("data.pkl") else data)
    with pytest.raises(CheckpointError, match=r"a\.ckpt"):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize("name", ["a.ckpt", "a.pt", "a.pth", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"{}", 64 * b"\xff"])
def test_any_bytes_are_refused_or_a_table_of_tensors(name, data, tmp_path):
    (tmp_path / name).write_bytes(data)
    try:
        found, told = dict(read_checkpoint(tmp_path / name)), name
    except XBindError as error:
        found, told = {}, str(error)
    assert found == {}
    assert name in told


@pytest.mark.parametrize("source", ["pipe", "x" * 300, "~nobody-of-this-name/x"])
def test_a_source_that_cannot_be_read_is_refused_by_its_option(source, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bind.pth").write_bytes(saved({}))
    path = source if source.startswith("~") else str(tmp_path / source)
    words = ["--unclip", path, "--imagebind", str(tmp_path / "bind.pth")]
    with pytest.raises(SystemExit) as left:
        main(["bundle", "import", *words, "--out", str(tmp_path / "out")])
    assert str(left.value.code).startswith("xbind: ")
    assert not (tmp_path / "out" / "bundle.json").exists()
