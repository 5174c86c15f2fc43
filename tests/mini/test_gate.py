"""The gate of 2D priors: crops, the decision, and priors whose order is known."""

import json
import math

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from xbind.mini import gate
from xbind.mini.gate import crops, detail_of, differences, main, objection
from xbind.mini.targets import Target
from xbind.networks.manifest import BundleError, BundleManifest, load_manifest

PROMPTS = "text | a red mug | mug | red\ntext | a blue boat | boat | blue\n"


def test_crops_are_the_quarters_and_the_middle_at_their_own_pixels():
    image = torch.arange(3 * 128 * 128.0).view(1, 3, 128, 128)
    parts = crops(image)[0]
    assert parts.shape == (5, 3, 64, 64)
    for part, (top, left) in zip(
        parts, ((0, 0), (0, 64), (64, 0), (64, 64), (32, 32)), strict=True
    ):
        assert torch.equal(part, image[0, :, top : top + 64, left : left + 64])
    small = crops(torch.rand(2, 3, 64, 64))
    assert small.shape == (2, 5, 3, 64, 64)


def test_differences_are_paired_by_prompt():
    new = {name: [1.0, 3.0, 5.0] for name in gate.COMPARED}
    old = {name: [2.0, 2.0, 2.0] for name in gate.COMPARED}
    for mean, error in differences(new, old).values():
        assert mean == pytest.approx(1.0)
        assert error == pytest.approx(2.0 / math.sqrt(3))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ((-0.3, -0.2, 0.1), ()),
        ((0.3, -0.2, 0.1), ("kernel_distance by",)),
        ((-0.3, -0.04, 0.1), ("kernel_distance_crops",)),
        ((-0.3, -0.2, 0.05), ("sharpness",)),
        ((0.3, 0.2, -0.1), ("kernel_distance by", "kernel_distance_crops", "sharpness")),
    ],
)
def test_what_is_not_better_by_a_standard_error_is_named(changes, named):
    found = objection(
        {name: (change, 0.05) for name, change in zip(gate.COMPARED, changes, strict=True)}
    )
    if not named:
        assert found is None
        return
    assert found.count(" by ") == len(named)
    assert all(name in found for name in named)


def test_the_detail_of_a_bundles_world(tmp_path):
    manifest = load_manifest("mini")
    assert detail_of(manifest) == 1
    for entry, wanted in (({"unclip": 2}, 2), ({"zero123": 2}, 1)):
        assert detail_of(BundleManifest(tmp_path, manifest.raw | {"world_detail": entry})) == wanted
    for entry in ({"unclip": 7}, 3, "fine"):
        with pytest.raises(BundleError, match=r"world_detail of .* wanted one of 1, 2"):
            detail_of(BundleManifest(tmp_path, manifest.raw | {"world_detail": entry}))


def blurred(x):
    return interpolate(avg_pool2d(x, 4), x.shape[-1], mode="bilinear")


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Samples of the first bundle that is measured are blurred views, of the other one sharp."""
    (tmp_path / "list.txt").write_text(PROMPTS)
    seen = []

    def draw_samples(bundle, words, count, steps, *, seed):
        if not any(bundle is other for other in seen):
            seen.append(bundle)
        _, colour, category = words.split()
        views = gate.real_views(Target("text", words, category, colour), 64, 1)
        sharp = views[: gate.APART].flatten(0, 1)[:count]
        return sharp if bundle is seen[-1] and len(seen) == 2 else blurred(sharp)

    monkeypatch.setattr(gate, "draw_samples", draw_samples)
    return ["--bundle", "mini", "--samples", "16", "--prompts", str(tmp_path / "list.txt"),
            "--out", str(tmp_path / "out")]  # fmt: skip


def test_blurred_samples_do_not_pass_against_sharp_ones(two, tmp_path, capsys):
    with pytest.raises(SystemExit) as failed:
        main(two)
    assert str(failed.value).startswith("The new prior is not better in kernel_distance by +")
    figures = json.loads((tmp_path / "out/gate.json").read_text())
    assert json.loads(capsys.readouterr().out) == figures
    new, old = figures["new"], figures["old"]
    assert new["sharpness"] < 0.7 < 0.9 < old["sharpness"] < 1.1
    assert new["kernel_distance"] > 2 * abs(old["kernel_distance"])
    assert old["kernel_distance"] == pytest.approx(old["real_kernel_distance"], abs=0.05)
    assert old["right"] > 0.9
    assert new["vae_sharpness"] < new["real_sharpness"]
    assert (tmp_path / "out/new.png").stat().st_size > 0


def test_sharp_samples_pass_against_blurred_ones(two, monkeypatch):
    measured = gate._measured

    def turned(given):
        found = measured(given)
        return {"new": found["old"], "old": found["new"]}

    monkeypatch.setattr(gate, "_measured", turned)
    main(two)


def test_prompts_that_cannot_be_compared_are_refused(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("audio | | bell |\n")
    with pytest.raises(SystemExit, match=r"is no text that names a colour\.\n.*--prompts"):
        main(["--bundle", "mini", "--prompts", str(path)])
    with pytest.raises(SystemExit, match="needs two samples"):
        main(["--bundle", "mini", "--samples", "1"])
    with pytest.raises(SystemExit, match="nowhere"):
        main(["--bundle", "nowhere"])
