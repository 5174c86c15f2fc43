"""Objects of three prompts with a sixth of the steps: still what was asked for, still reproducible.

A change that breaks a loss, a sign, a camera or an operator shows here, where no oracle looks.
"""

from dataclasses import replace

import pytest
import torch

from tests.support.watcher import Watcher
from xbind.config import presets
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.evaluation.figures import best_turn
from xbind.mini.judging import VIEWS, around, load_judge, real_objects, right_answers
from xbind.mini.targets import Target
from xbind.networks.manifest import load_manifest
from xbind.pipeline import generate
from xbind.scene.mesh.textured import read_glb

pytestmark = pytest.mark.slow
TARGETS = {
    Target("text", "a green tree", "tree", "green"): 1,
    Target("text", "a blue snowman", "snowman", "blue"): 0,
    Target("text", "a purple mushroom", "mushroom", "purple"): 0,
}
"""What to make, with which seed."""
R_AT_1_FLOOR = 0.6
"""Of the mean over the objects; measured: 1.00, 1.00, 1.00. One of the three may fail, since so few
steps are not always enough (the tree of seed 0 is not recognised); a broken method fails all."""
IOU_FLOOR = 0.5
"""Likewise; measured: 0.80, 0.60, 0.75. After two steps of every phase it is 0.46 for a mug."""


def reduced():
    """A sixth of the default's steps, a quarter of its samples for the reference view."""
    method = presets.default()
    return replace(
        method,
        reference=replace(method.reference, candidates=6, steps=10),
        coarse=replace(method.coarse, steps=36),
        geometry=replace(method.geometry, steps=8),
        texture=replace(method.texture, steps=12, texture_px=256),
        checkpoint_every=20,
        turntable_frames=2,
    )


def make(out, target, seed, preset):
    prompt = PromptConfig(text=target.words)
    generate(
        GenerateConfig(prompt=prompt, out=out, preset=preset, seed=seed, engine="eager"), Watcher()
    )
    return out / "mesh.glb"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The views of each object, which is made once."""
    root = tmp_path_factory.mktemp("regression")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "reduced", reduced)
        meshes = [make(root / t.name, t, seed, "reduced") for t, seed in TARGETS.items()]
    return [read_glb(path).views(around(VIEWS), 64) for path in meshes]


def test_the_judge_names_them_right(made):
    judge = load_judge(load_manifest("mini"))
    shares = [
        (judge.look(views.image).scores.argmax(1) == right_answers(target)[0]).float().mean()
        for target, views in zip(TARGETS, made, strict=True)
    ]
    assert torch.stack(shares).mean() > R_AT_1_FLOOR, shares


def test_their_silhouettes_are_those_of_real_objects(made):
    found = []
    for target, views in zip(TARGETS, made, strict=True):
        real = real_objects(target.category, target.colour)
        found.append(best_turn(views.mask, [seen.mask for seen in real.views])[0])
    assert sum(found) / len(found) > IOU_FLOOR, found


def test_a_seed_gives_the_same_mesh_and_another_one_another(tmp_path):
    target = next(iter(TARGETS))
    first, again, other = (
        make(tmp_path / name, target, seed, "probe").read_bytes()
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )
    assert first == again
    assert first != other
