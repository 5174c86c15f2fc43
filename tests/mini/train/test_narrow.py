"""The narrow 3D prior: trained on objects of some categories, each with its own reference."""

import numpy as np
import pytest
import torch

from xbind.errors import XBindError
from xbind.mini.train import priors
from xbind.mini.train.__main__ import main
from xbind.mini.train.latents import Latents, TargetDraw, objects_of, only_objects
from xbind.mini.train.lengths import LENGTHS, LoopConfig
from xbind.mini.train.loop import save_atomic
from xbind.mini.train.parts import TAKEN
from xbind.mini.world.categories import CATEGORIES, SEEN, UNSEEN

OBJECTS, VIEWS = 51, 6


def marked(*shape):
    """Arrays [objects, views, …] whose every element is the object's index."""
    index = torch.arange(OBJECTS, dtype=torch.float32)
    return index.view(-1, 1, *([1] * len(shape))).expand(OBJECTS, VIEWS, *shape).clone()


@pytest.fixture(scope="module")
def data():
    pose = torch.tensor([0.0, 0.0, 2.5, 40.0]).expand(OBJECTS, VIEWS, 4).clone()
    category = torch.arange(OBJECTS) % len(CATEGORIES)
    return Latents(
        marked(4, 8, 8).half(),
        marked(4, 8, 8)[:, :2].half(),
        marked(8).half(),
        torch.zeros(1, 8),
        torch.zeros(len(CATEGORIES), 1, 8),
        pose,
        torch.stack([category, torch.zeros_like(category)], 1),
        torch.arange(OBJECTS) % 3,
    )


def names_of(data, objects):
    return {CATEGORIES[k] for k in data.labels[objects, 0].tolist()}


def test_objects_of_some_categories_are_all_of_them_and_no_other(data):
    objects = objects_of(data, SEEN)
    assert objects.tolist() == sorted(objects.tolist())
    assert len(objects) == OBJECTS * len(SEEN) // len(CATEGORIES)
    assert names_of(data, objects) == set(SEEN)
    assert objects_of(data, CATEGORIES).tolist() == list(range(OBJECTS))


def test_everything_of_an_object_stays_together(data):
    objects = objects_of(data, UNSEEN)
    kept = only_objects(data, objects)
    for name in ("colour", "normal", "image", "pose", "labels", "adjective"):
        assert torch.equal(getattr(kept, name), getattr(data, name)[objects])
    assert kept.text is data.text
    assert kept.audio is data.audio


def test_a_category_without_an_object_is_named(data):
    few = only_objects(data, torch.arange(3))
    with pytest.raises(XBindError, match=r"has no house; .* mug, chair, table, house, tree"):
        objects_of(few, SEEN)


def test_training_draws_seen_objects_with_their_own_reference(data, tmp_path, monkeypatch):
    save_atomic({"ema": {}}, tmp_path / "unclip.pt")
    np.save(tmp_path / "clip_embeddings.npy", marked(128).half().numpy())
    np.save(tmp_path / "seen_poses.npy", marked(3).half().numpy())
    drawn: list[TargetDraw] = []
    read: list[torch.Tensor] = []
    draw, blurred = priors.draw_targets, priors.blurred_pose

    def note_targets(*arguments, **options):
        drawn.append(draw(*arguments, **options))
        return drawn[-1]

    def note_poses(seen, generator):
        read.append(seen)
        return blurred(seen, generator)

    def one_step(name, net, losses, config, work):
        assert name == "zero123_narrow"
        assert torch.isfinite(losses(0, torch.Generator().manual_seed(0))["loss"])

    monkeypatch.setattr(priors, "load_latents", lambda *_: data)
    monkeypatch.setattr(priors, "draw_targets", note_targets)
    monkeypatch.setattr(priors, "blurred_pose", note_poses)
    monkeypatch.setattr(priors, "train", one_step)
    config = LoopConfig(samples=64, batch=64)
    priors.train_zero123(None, tmp_path, config, name="zero123_narrow", categories=SEEN)
    objects = drawn[0].z[:, 0, 0, 0].long()
    assert names_of(data, objects) == set(SEEN)
    assert torch.equal(objects, read[0][:, 0].long())


def test_the_narrow_prior_is_trained_as_the_wide_one():
    narrow, wide = LENGTHS["zero123_narrow"], LENGTHS["zero123"]
    assert (narrow.batch, narrow.learning_rate) == (wide.batch, wide.learning_rate)
    assert narrow.seed != wide.seed
    assert {o for o, parts in TAKEN.items() if "zero123_narrow" in parts} == {
        o for o, parts in TAKEN.items() if "zero123" in parts
    }


def test_only_is_for_assemble(tmp_path):
    with pytest.raises(SystemExit, match="unpack takes no --only; these do: assemble"):
        main(["unpack", "--work", str(tmp_path), "--only", "zero123_narrow"])
    with pytest.raises(SystemExit, match=r"no zero123_narrow\.pt"):
        main(["assemble", "--work", str(tmp_path), "--only", "zero123_narrow"])
