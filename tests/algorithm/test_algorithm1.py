"""Algorithm 1: its phases in order, its stages, and that a state is enough to go on from."""

import copy

import pytest
import torch

from tests.support.small_method import CONDITION, METHOD, Networks
from xbind.algorithm import algorithm1 as module
from xbind.algorithm.algorithm1 import algorithm1
from xbind.algorithm.iteration import Iteration, PhaseStarted, save_phase
from xbind.algorithm.surface import TexturedMesh

ALL = [("coarse", 1), ("coarse", 2), ("coarse", 3), ("geometry", 1), ("geometry", 2),
       ("geometry", 3), ("texture", 1), ("texture", 2), ("texture", 3)]  # fmt: skip


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
    assert torch.equal(again[-1].field(points)[1], events[-1].field(points)[1])


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


def test_each_field_draws_its_weights_from_a_stream_of_its_own(monkeypatch):
    seeds = {}

    def watch(name):
        made = getattr(module, name)

        def watched(*args, **kwargs):
            seeds[name] = kwargs.get("generator", args[-1]).initial_seed()
            return made(*args, **kwargs)

        monkeypatch.setattr(module, name, watched)

    watch("HashField")
    watch("fit_texture_field")
    list(events_of(Networks()))
    streams = (METHOD.coarse.stream, METHOD.texture.stream)
    assert len({0, *streams}) == 3  # 0 is that of the iterations
    assert seeds == {"HashField": 5 + streams[0], "fit_texture_field": 5 + streams[1]}
