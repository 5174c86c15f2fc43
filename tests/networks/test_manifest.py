"""The shipped bundle is whole, and any change to any file of a bundle is noticed."""

import json
import shutil

import pytest

from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleError, BundleManifest, load_manifest, verify


@pytest.fixture
def copied(tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(load_manifest("mini").folder, folder)
    return folder


def test_shipped_bundle_fits_its_limit():
    manifest = load_manifest("mini")
    verify(manifest)
    assert sum(record["bytes"] for record in manifest.files.values()) <= 40e6
    listed = {manifest.folder / name for name in manifest.files} | {manifest.folder / "bundle.json"}
    assert {p for p in manifest.folder.rglob("*") if p.is_file()} == listed


def test_a_changed_byte_is_noticed(copied):
    path = copied / "view" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"damaged: .*view/model\.safetensors"):
        load_bundle(load_manifest(copied))


def test_a_missing_file_is_named(copied):
    (copied / "clip" / "config.json").unlink()
    with pytest.raises(BundleError, match=r"incomplete: .*clip/config\.json"):
        verify(load_manifest(copied))


def test_unknown_bundle_lists_the_known():
    with pytest.raises(BundleError, match=r"no bundle 'nope'.*mini"):
        load_manifest("nope")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}'])
def test_damaged_manifest(copied, content):
    (copied / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match="damaged"):
        load_manifest(copied)


def test_another_format_is_refused(copied):
    raw = json.loads((copied / "bundle.json").read_text()) | {"format": 99}
    (copied / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="wanted format 1"):
        load_manifest(copied)


def test_missing_role_is_named():
    with pytest.raises(BundleError, match="has no 'depth_net'"):
        load_manifest("mini").part("depth_net")


@pytest.mark.parametrize(
    "unlisted", [[], ["clip/config.json"], ["unclip/empty_prompt.safetensors"]]
)
def test_a_file_that_is_read_and_has_no_hash_is_refused(copied, unlisted):
    """`"files": {}` would switch the comparison off."""
    raw = json.loads((copied / "bundle.json").read_text())
    raw["files"] = {k: v for k, v in raw["files"].items() if unlisted and k not in unlisted}
    (copied / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="lists no hash for") as refused:
        verify(load_manifest(copied))
    assert not unlisted or unlisted[0] in str(refused.value)


def test_a_file_beside_the_listed_ones_is_refused(copied):
    (copied / "clip" / "vocab.json").write_text("{}")
    with pytest.raises(BundleError, match=r"lists no hash for .*vocab\.json"):
        verify(load_manifest(copied))


@pytest.mark.parametrize("entry", ["image_size", "embedding_norm", "parts", "priors_3d"])
def test_every_figure_that_computes_decides(entry):
    manifest = load_manifest("mini")
    if entry in manifest.raw:
        own = {k: v for k, v in manifest.raw[entry].items() if k != "judge_2"}
        assert manifest.deciding[entry] == own
    assert not {"licence", "about", "name", "files"} & manifest.deciding.keys()


@pytest.mark.parametrize(
    "change",
    [
        {"embedding_norm": {"text": 1.0}},
        {"image_size": {"unclip": 1}},
        {"parts": {}},
        {"files": {}},
    ],
)
def test_the_identity_changes_with_whatever_computes(change):
    manifest = load_manifest("mini")
    assert BundleManifest(manifest.folder, manifest.raw | change).identity != manifest.identity


def test_the_identity_is_that_of_the_same_bundle_elsewhere(tmp_path):
    manifest = load_manifest("mini")
    moved = BundleManifest(tmp_path, manifest.raw | {"name": "other", "about": "elsewhere"})
    assert moved.identity == manifest.identity


def test_the_light_is_known_and_decides_no_engine():
    manifest = load_manifest("mini")
    assert manifest.light is not None
    dark = manifest.raw | {"light": manifest.raw["light"] | {"ambient": 0.1}}
    changed = BundleManifest(manifest.folder, dark)
    assert changed.light.ambient == 0.1
    assert changed.identity == manifest.identity
    assert changed.figures == manifest.figures
    unknown = {k: v for k, v in manifest.raw.items() if k != "light"}
    assert BundleManifest(manifest.folder, unknown).light is None


@pytest.mark.parametrize("light", [[], {"direction": [1, 0, 0]}, {"ambient": 0.5, "wrap": 1}])
def test_what_is_no_light_is_refused(copied, light):
    raw = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(raw | {"light": light}))
    with pytest.raises(BundleError, match=r"is damaged: light is not a light: "):
        load_manifest(copied)


def test_view_words_that_a_run_does_not_use_are_no_part_of_its_bundle():
    """A run or batch of before they were added goes on."""
    manifest = load_manifest("mini")
    assert manifest.has_view_words
    without = manifest.with_view_words(False)
    assert manifest.with_view_words(True) is manifest
    assert without.with_view_words(False) is without
    assert not without.has_view_words
    path = manifest.path_of("unclip.views")
    assert manifest.files.keys() - without.files.keys() == {path}
    assert without.digest != manifest.digest
    assert "unclip.views" not in without.deciding["parts"]
    assert without.part("unclip.unet") == manifest.part("unclip.unet")


OTHER = "0" * 64


@pytest.mark.parametrize(
    ("name", "counted", "message"),
    [
        ("unclip/unet/config.json", OTHER, "which is not a file of a judge"),
        ("unclip/unet/config.json", None, "which is not a file of a judge"),
        ("judge/config.json", "abc", "is no sha256, nor null"),
        ("judge/config.json", 3, "is no sha256, nor null"),
    ],
)
def test_only_a_judges_file_counts_otherwise_than_it_is(copied, name, counted, message):
    """Else a bundle could pass for one that makes other objects."""
    raw = json.loads((copied / "bundle.json").read_text())
    raw["files"][name]["digest_as"] = counted
    (copied / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=rf"is damaged: files has a digest_as .*{message}"):
        load_manifest(copied)


def test_a_judge_that_also_guides_counts_as_it_is(copied):
    raw = json.loads((copied / "bundle.json").read_text())
    raw["parts"]["view"] = "judge"
    raw["files"]["judge/config.json"]["digest_as"] = OTHER
    (copied / "bundle.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="which is not a file of a judge"):
        load_manifest(copied)
