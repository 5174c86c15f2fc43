"""The two judges: their negatives, what is said of them, and how they get into a bundle."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xbind.cli.evaluate import make_panel
from xbind.errors import XBindError
from xbind.mini.train import judges
from xbind.mini.train.assemble import assemble_only, unpack
from xbind.mini.train.data import Split, World, draw, images, load_near_misses
from xbind.mini.train.judges import BUILD, FAULT_SHARES, acceptance, train_judge, with_faults
from xbind.mini.train.lengths import LENGTHS, LoopConfig
from xbind.mini.train.loop import save_atomic
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.mini.world.dataset import kind_of_near_miss
from xbind.networks.load import load_patch_convnet
from xbind.networks.manifest import JUDGE_ROLES, SHIPPED, BundleError, load_manifest, verify

K = len(CATEGORIES)
OBJECTS, VIEWS = 68, 3


@pytest.fixture(scope="module")
def split():
    """Squares; red is the object's number."""
    rgba = np.zeros((OBJECTS, VIEWS, 64, 64, 4), np.uint8)
    rgba[:, :, 16:48, 16:48, 3] = 255
    rgba[:, :, 16:48, 16:48, 0] = 2 * np.arange(OBJECTS)[:, None, None, None]
    labels = np.stack([np.arange(OBJECTS) % K, np.arange(OBJECTS) % len(COLOUR_NAMES)], 1)
    none = np.zeros(0)
    return Split(rgba, none, none, none, labels, none)


class Oracle(nn.Module):
    """Reads the number of an object from the middle of a view; `wrong` objects are near misses."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def forward(self, x):
        index = (x[:, 0, 32, 32] * 255 / 2).round().long()
        logits = torch.zeros(len(x), K + 1 + len(COLOUR_NAMES))
        rows = torch.arange(len(x))
        logits[rows, index % K] = 1.0
        logits[rows, K + 1 + index % len(COLOUR_NAMES)] = 1.0
        near = torch.tensor([i in self.wrong for i in index.tolist()])
        logits[near, K] = 2.0
        return logits


@pytest.mark.parametrize("name", JUDGE_ROLES)
def test_a_judge_has_an_output_for_near_misses(name):
    net = BUILD[name]()
    assert net.head.out_features == K + 1 + len(COLOUR_NAMES)
    half = 2 * sum(x.numel() for x in net.parameters())
    assert half < 1.7e6
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(net.head(net.features(x)), net(x))


def test_judges_differ_in_architecture_seed_and_order():
    first, second = (LENGTHS[name] for name in JUDGE_ROLES)
    assert first.seed != second.seed
    assert replace(second, seed=first.seed) == first
    shapes = [{k: x.shape for k, x in BUILD[name]().state_dict().items()} for name in JUDGE_ROLES]
    assert shapes[0] != shapes[1]


def test_the_second_judge_keeps_what_is_in_one_place_alone():
    """A mean over the map would hide it; the largest value of a channel does not."""
    torch.manual_seed(0)
    net, x = BUILD["judge_2"](), torch.full((1, 3, 64, 64), 0.5)
    spot = x.clone()
    spot[..., 20:24, 20:24] = 1.0
    with torch.no_grad():
        mean, largest = (net.features(spot) - net.features(x)).abs().view(2, -1).amax(1)
    assert largest > 3 * mean > 0


def test_shares_of_a_batch_have_faults(split):
    drawn = draw(split, 45, torch.Generator().manual_seed(0), normal_share=0.0)
    plain = images(split, drawn)
    x, faulty = with_faults(split, drawn, 64, torch.Generator().manual_seed(1))
    assert faulty == sum(round(share * 64) for share in FAULT_SHARES.values())
    changed = (x != plain).flatten(1).any(1)
    assert changed[:faulty].all()
    assert not changed[faulty:].any()


@pytest.mark.parametrize("name", JUDGE_ROLES)
def test_a_step_labels_what_is_wrong_as_a_near_miss(split, tmp_path, monkeypatch, name):
    wrong = replace(split, labels=split.labels.copy())
    told = []
    real = nn.functional.cross_entropy
    monkeypatch.setattr(
        judges.nn.functional, "cross_entropy",
        lambda logits, labels: told.append(labels) or real(logits, labels),
    )  # fmt: skip
    config = LoopConfig(samples=64, batch=64, seed=3)
    data = World(split, split), World(wrong, wrong)
    train_judge(*data, tmp_path, config, name)
    category, colour = told
    faulty, missed = round(sum(FAULT_SHARES.values()) * 64), round(judges.NEAR_MISS_SHARE * 64)
    assert (category[:faulty] == K).all()
    assert (category[-missed:] == K).all()
    assert (category[faulty:-missed] < K).all()
    assert colour.unique().numel() > 4
    [line] = (tmp_path / f"{name}.jsonl").read_text().splitlines()
    assert {"both_and_no_near_miss", "blotched_accepted"} <= json.loads(line).keys()


def test_acceptance_is_by_kind(split):
    kinds = {index: kind_of_near_miss(index) for index in range(OBJECTS)}
    known = {index for index, kind in kinds.items() if kind == "missing_part"}
    figures = acceptance(Oracle(known), split, split)
    assert figures["missing_part_accepted"] == 0
    others = set(kinds.values()) - {"missing_part"}
    assert others == {"revolution", "two_faced", "wrong_part_colour"}
    assert all(figures[f"{kind}_accepted"] == 1 for kind in others)
    assert figures["category_accuracy"] == figures["colour_accuracy"] == figures["both"] == 1
    assert figures["both_and_no_near_miss"] == pytest.approx(1 - len(known) / OBJECTS, abs=0.05)
    assert {f"{fault}_accepted" for fault in FAULT_SHARES} <= figures.keys()


def test_near_misses_that_were_not_rendered_are_missed(tmp_path):
    with pytest.raises(XBindError, match=r"mini\.train near_misses"):
        load_near_misses(tmp_path)


@pytest.fixture
def bundle(tmp_path):
    """The shipped bundle as it was with one judge, and a folder with two untrained ones."""
    folder, work = tmp_path / "bundle", tmp_path / "work"
    shutil.copytree(SHIPPED / "mini", folder)
    shutil.rmtree(folder / "judge_2", ignore_errors=True)
    raw = json.loads((folder / "bundle.json").read_text())
    raw["parts"].pop("judge_2", None)
    raw["files"] = {
        name: {key: value for key, value in record.items() if key != "digest_as"}
        for name, record in raw["files"].items()
        if not name.startswith("judge_2/")
    }
    (folder / "bundle.json").write_text(json.dumps(raw))
    work.mkdir()
    for seed, name in enumerate(JUDGE_ROLES):
        torch.manual_seed(seed)
        state = BUILD[name]().state_dict()
        save_atomic({"model": state, "ema": state, "step": 3, "samples": 192}, work / f"{name}.pt")
    return work, folder


def test_judges_get_into_a_bundle_alone_and_change_no_digest(bundle):
    """Objects that were made before stay those of this bundle; judges' figures do not."""
    work, folder = bundle
    before = load_manifest(folder)
    assert (
        before.counted_hash("judge/model.safetensors")
        == (before.files["judge/model.safetensors"]["sha256"])
    )
    seen = [before]
    for name in (*JUDGE_ROLES, "judge"):
        torch.manual_seed(10 + len(seen))
        state = BUILD[name]().state_dict()
        save_atomic({"model": state, "ema": state, "step": 3, "samples": 192}, work / f"{name}.pt")
        assemble_only(work, folder, name)
        seen.append(load_manifest(folder))
        verify(seen[-1])
    assert {one.digest for one in seen} == {before.digest}
    assert all(one.deciding == before.deciding for one in seen)
    assert len({one.identity for one in seen}) == len(seen)
    after = seen[-1]
    assert after.raw["training_samples"] == before.raw["training_samples"] | {
        "judge": 192, "judge_2": 192
    }  # fmt: skip
    assert after.counted_hash("judge_2/model.safetensors") is None
    for name, record in before.files.items():
        assert name.startswith("judge/") or after.files[name] == record


def test_both_judges_are_asked_and_come_back_as_checkpoints(bundle, tmp_path):
    work, folder = bundle
    assert [judge.name for judge in make_panel(load_manifest(folder)).independent] == ["judge"]
    for name in JUDGE_ROLES:
        assemble_only(work, folder, name)
    found = make_panel(load_manifest(folder))
    assert found.identity[:-1] == ["judge", "judge_2", "self"]
    x = torch.rand(3, 3, 64, 64)
    unpack(tmp_path, folder)
    for judge in found.independent:
        saved = torch.load(tmp_path / f"{judge.name}.pt", weights_only=True)
        net = BUILD[judge.name]()
        net.load_state_dict(saved["ema"])
        with torch.no_grad():
            torch.testing.assert_close(judge.net(x), net(x))
        look = judge.look(x)
        assert look.scores.shape == (3, len(judge.pool))
        assert look.accepted is not None


def test_a_second_judge_that_does_not_fit_is_refused(bundle):
    work, folder = bundle
    assemble_only(work, folder, "judge_2")
    path = folder / "judge_2/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"widths": [64, 96]}))
    with pytest.raises(BundleError, match="judge_2"):
        load_patch_convnet(folder / "judge_2")
