"""Algorithm 1: its phases in order, its stages, and that a state is enough to go on from."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from xbind.algorithm.algorithm1 import algorithm1
from xbind.algorithm.iteration import Iteration, PhaseStarted, save_phase
from xbind.algorithm.phase3_texture import TexturedMesh
from xbind.algorithm.supervision import Condition
from xbind.config.presets import GuidanceConfig, preset_named
from xbind.config.savings import FASTEST
from xbind.networks.runtime import RunNetworks, StageNetworks

SMOKE = preset_named("smoke")
NONE = replace(GuidanceConfig(), w_2d=0.0, w_3d=0.0, w_ms=0.0, w_rgb=0.0, w_mask=0.0)
SMALL = {"steps": 3, "size": 16, "guidance": NONE}
RGB = torch.tensor([0.8, 0.1, 0.1])
METHOD = replace(
    SMOKE,
    coarse=replace(SMOKE.coarse, **SMALL),
    geometry=replace(SMOKE.geometry, **SMALL),
    texture=replace(SMOKE.texture, **SMALL | {"guidance": replace(NONE, w_ms=1.0)}),
)
"""A method whose only frozen network is that of L_MS, in Phase III, which has no other loss."""
CONDITION = Condition(torch.ones(4), torch.ones(1, 4), torch.ones(1, 4, 8, 8), None)
ALL = [("coarse", 1), ("coarse", 2), ("coarse", 3), ("geometry", 1), ("geometry", 2),
       ("geometry", 3), ("texture", 1), ("texture", 2), ("texture", 3)]  # fmt: skip


class Redness:
    """A guidance step without a network: the squared distance of all images from one colour."""

    inputs = ("image", "c_m", "weight")
    outputs = ("loss", "x_bar")

    def __call__(self, image, **feeds):
        del feeds
        apart = image - RGB[:, None, None]
        return apart.square().mean(), 2 * apart / apart.numel()


class Networks(RunNetworks):
    """Networks that note which stage they are asked for, and when they are unloaded."""

    backend = "eager"
    bundle = SimpleNamespace(unclip=None, zero123=None, clip_size=16, taesd=None)

    def __init__(self):
        self.stages = []

    def of_stage(self, name):
        self.stages.append(name)
        return StageNetworks(self.bundle, FASTEST, {"ms": Redness()}.__getitem__)

    def unload(self):
        self.stages.append("unloaded")


def seeded():
    return torch.Generator().manual_seed(5)


def events_of(networks, saved=None, generator=None):
    return algorithm1(METHOD, CONDITION, networks, generator or seeded(), 5, saved or {})


def iterations(events):
    return [(e.phase.name, e.step) for e in events if isinstance(e, Iteration)]


@pytest.fixture(scope="module")
def whole():
    """Networks, events, and the state after every iteration: phases and generator."""
    networks, generator, events, phases, states = Networks(), seeded(), [], {}, {}
    for event in events_of(networks, generator=generator):
        events.append(event)
        if isinstance(event, Iteration):
            name, step = event.phase.name, event.step
            phases[name] = copy.deepcopy(save_phase(event.phase, step, generator))
            states[name, step] = dict(phases)
    return networks, events, states


def test_phases_stages_and_iterations_are_in_order(whole):
    networks, events, _ = whole
    assert iterations(events) == ALL
    starts = [(e.phase.name, e.step) for e in events if isinstance(e, PhaseStarted)]
    assert starts == [("coarse", 0), ("geometry", 0), ("texture", 0)]
    assert networks.stages == [
        "coarse", "unloaded", "geometry", "unloaded", "texture", "unloaded",
    ]  # fmt: skip
    terms = {e.phase.name: set(e.terms) for e in events if isinstance(e, Iteration)}
    assert terms == {"coarse": {"opacity", "nz", "nv"}, "geometry": {"nc", "ls"}, "texture": {"ms"}}
    assert isinstance(events[-1], TexturedMesh)


def test_the_shape_is_frozen_in_phase_3(whole):
    *_, last = whole[1]
    before = [e for e in whole[1] if isinstance(e, Iteration) and e.phase.name == "geometry"]
    assert torch.equal(last.mesh.vertices, before[-1].phase.result().vertices)
    assert not last.mesh.vertices.requires_grad


@pytest.mark.parametrize("at", [("coarse", 2), ("coarse", 3), ("geometry", 2), ("texture", 1)])
def test_the_state_after_any_iteration_is_enough_to_go_on_from(whole, at):
    _, events, states = whole
    generator = torch.Generator()
    generator.set_state(states[at][at[0]].generator)
    saved = copy.deepcopy(states[at])
    again = list(events_of(Networks(), saved, generator))
    assert iterations(again) == ALL[ALL.index(at) + 1 :]
    assert torch.equal(again[-1].mesh.vertices, events[-1].mesh.vertices)
    points = again[-1].mesh.vertices
    assert torch.equal(again[-1].colour_at(points), events[-1].colour_at(points))


def test_another_seed_is_another_mesh(whole):
    *_, last = algorithm1(METHOD, CONDITION, Networks(), seeded(), 6, {})
    vertices, others = whole[1][-1].mesh.vertices, last.mesh.vertices
    assert vertices.shape != others.shape or not torch.equal(vertices, others)


def test_an_interrupted_stage_is_unloaded():
    networks = Networks()
    events = events_of(networks)
    next(events)
    assert networks.stages == ["coarse"]
    events.close()
    assert networks.stages == ["coarse", "unloaded"]
