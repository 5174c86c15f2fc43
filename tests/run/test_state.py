"""The state of a run: what a checkpoint gives back, and what is refused."""

import pytest
import torch

from tests.support.finished_runs import config
from xbind.algorithm.iteration import PhaseState
from xbind.algorithm.supervision import Condition
from xbind.run.checkpoints import load_newest_checkpoint
from xbind.run.checks import RunError
from xbind.run.folder import start_run
from xbind.run.state import RunState, add_seconds

CPU = torch.device("cpu")


@pytest.fixture
def state():
    drawn = torch.Generator().manual_seed(3)
    condition = Condition(torch.rand(4, generator=drawn), torch.ones(1, 4), torch.zeros(1, 4), None)
    coarse = PhaseState(
        12, {"table": torch.rand(5, generator=drawn)}, {"lr": 0.1}, drawn.get_state()
    )
    torch.rand(7, generator=drawn)
    geometry = PhaseState(3, {"sdf": torch.ones(2)}, {}, drawn.get_state())
    seconds = {"reference": 1.0, "coarse": 2.0, "geometry": 4.0}
    return RunState(condition, drawn, {"coarse": coarse, "geometry": geometry}, seconds)


def test_a_checkpoint_gives_it_back(state, tmp_path):
    with start_run(tmp_path, config()) as folder:
        folder.save_checkpoint(state.done, state.record())
    checkpoint = load_newest_checkpoint(tmp_path)
    assert checkpoint.step == state.done == 15
    found = RunState.from_record(checkpoint.state, CPU)
    assert found.phases["coarse"].step == 12
    tables = [s.phases["coarse"].module["table"] for s in (found, state)]
    assert torch.equal(*tables)
    assert torch.equal(found.condition.c_m, state.condition.c_m)
    assert found.seconds == state.seconds
    drawn = [torch.rand(3, generator=s.generator) for s in (found, state)]
    assert torch.equal(*drawn)


def test_after_phase_1_its_generator_goes_on_from_there(state):
    start = state.after_phase1()
    assert list(start.phases) == ["coarse"]
    assert start.done == 12
    assert start.seconds == {"reference": 1.0, "coarse": 2.0}
    assert torch.equal(start.generator.get_state(), state.phases["coarse"].generator)
    assert not torch.equal(start.generator.get_state(), state.generator.get_state())


@pytest.mark.parametrize("change", [{"phases": {"coarse": {"module": {}}}}, {"phases": None}, {}])
def test_the_checkpoint_of_another_version_is_refused(state, change):
    record = state.record() | change
    if not change:
        del record["condition"]
    with pytest.raises(RunError, match=r"another version of xbind(.|\n)*--overwrite"):
        RunState.from_record(record, CPU)


def test_seconds_add_up():
    seconds = {"coarse": 1.0}
    add_seconds(seconds, "coarse", 0.0)
    add_seconds(seconds, "files", 0.0)
    assert seconds["coarse"] == pytest.approx(1 + seconds["files"], abs=1)
