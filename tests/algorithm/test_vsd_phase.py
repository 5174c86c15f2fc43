"""A stage whose loss of the 2D prior is VSD, with the mini bundle."""

import copy
from dataclasses import replace

import pytest
import torch

from xbind.algorithm.estimator_weights import make_estimator
from xbind.algorithm.iteration import advance, restore_phase, save_phase
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.supervision import Condition, Supervision
from xbind.config.variants import method_named
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.scene.nerf.field import HashField

COARSE = replace(method_named("prolificdreamer").coarse, steps=4)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def supervision():
    bundle = load_bundle(load_manifest("mini"))
    d = bundle.bind.model.config.embed_dim
    shape = (1, *bundle.unclip.latent_shape)
    labels = torch.randn(1, 2 * d, generator=seeded(3))
    return Supervision(bundle, Condition(torch.ones(d), labels, torch.zeros(shape), None))


def phase_of(supervision):
    estimator = make_estimator("vsd", COARSE.guidance.estimator, supervision, seeded(7))
    field = HashField(COARSE.field, generator=seeded(1))
    return CoarsePhase(COARSE, supervision, field, estimator=estimator)


def test_the_estimator_is_trained_beside_the_scene(supervision):
    phase = phase_of(supervision)
    theta, table = phase.module["estimator"].theta, phase.field.table
    before = theta.detach().clone(), table.detach().clone()
    terms = advance(phase, 0, seeded(2))
    assert set(terms) == {"planar", "lora", "sparsity"}
    assert not torch.equal(theta, before[0])
    assert not torch.equal(table, before[1])
    last = phase.optimizer.param_groups[-1]
    assert last["params"][0] is theta
    assert last["lr"] == COARSE.guidance.estimator.learning_rate
    assert last["weight_decay"] == COARSE.guidance.estimator.weight_decay


def test_its_state_goes_on_where_it_was_saved(supervision):
    phase, generator = phase_of(supervision), seeded(2)
    advance(phase, 0, generator)
    state = copy.deepcopy(save_phase(phase, 1, generator))
    other = phase_of(supervision)
    restore_phase(other, state)
    terms = [advance(p, 1, seeded(9)) for p in (phase, other)]
    assert terms[0] == terms[1]
    assert torch.equal(phase.module["estimator"].theta, other.module["estimator"].theta)


def test_other_losses_have_no_estimator(supervision):
    assert make_estimator("sds", COARSE.guidance.estimator, supervision, seeded(7)) is None
