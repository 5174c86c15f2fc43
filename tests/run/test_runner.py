"""The runner: what it records, shows and saves, and that an interruption unloads the networks."""

from dataclasses import replace

import pytest
import torch

from tests.support.finished_runs import config
from tests.support.small_method import CONDITION, METHOD, Networks
from tests.support.watcher import Watcher
from xbind.run.checkpoints import load_newest_checkpoint
from xbind.run.events import read_events
from xbind.run.folder import start_run
from xbind.run.runner import Runner
from xbind.run.state import RunState

STEPS = [(phase, step) for phase in ("coarse", "geometry", "texture") for step in (1, 2, 3)]
EVERY = {"preview_every": 2, "checkpoint_every": 2}


class Saved(Watcher):
    """A reporter that notes the names of previews and the phases that start."""

    def __init__(self, stop_at=None):
        super().__init__(stop_at)
        self.previews, self.starts = [], []

    def preview(self, path):
        super().preview(path)
        self.previews.append(path.stem)

    def phase_started(self, name, steps, done=0):
        self.starts.append((name, steps, done))


@pytest.fixture
def start():
    def make(folder, reporter):
        state = RunState(CONDITION, torch.Generator().manual_seed(5))
        return Runner(replace(METHOD, **EVERY), folder, reporter, state)

    return make


def test_it_records_previews_and_saves_as_often_as_the_method_says(start, tmp_path, monkeypatch):
    saved, reporter = [], Saved()
    with start_run(tmp_path, config()) as folder:
        runner = start(folder, reporter)
        monkeypatch.setattr(Runner, "save", lambda self: saved.append(self.state.done))
        runner.optimise(Networks(), 5)
    assert reporter.steps == STEPS
    records = read_events(tmp_path / "events.jsonl").records
    assert [(record["phase"], record["step"]) for record in records] == STEPS
    assert set(records[-1]) == {"phase", "step", "ms"}
    assert saved == [2, 3, 5, 6, 8, 9]
    assert reporter.previews == [f"{p}_{s:05d}" for p, s in STEPS if s > 1]
    assert reporter.starts == [(phase, 3, 0) for phase in ("coarse", "geometry", "texture")]
    assert set(runner.state.seconds) == {"coarse", "geometry", "texture"}
    assert all(seconds > 0 for seconds in runner.state.seconds.values())


def test_an_interruption_unloads_and_the_checkpoint_goes_on(start, tmp_path):
    networks = Networks()
    with start_run(tmp_path / "whole", config()) as folder:
        whole = start(folder, Saved()).optimise(Networks(), 5)
    with start_run(tmp_path / "run", config()) as folder:
        runner = start(folder, Saved(("geometry", 3)))
        try:
            runner.optimise(networks, 5)
        except KeyboardInterrupt:  # its traceback still holds the frames of the run
            assert networks.stages == ["coarse", "unloaded", "geometry", "unloaded"]
    found = load_newest_checkpoint(tmp_path / "run")
    assert found.step == 5
    reporter = Saved()
    with start_run(tmp_path / "again", config()) as folder:
        state = RunState.from_record(found.state, torch.device("cpu"))
        method = replace(METHOD, **EVERY)
        again = Runner(method, folder, reporter, state).optimise(Networks(), 5)
    assert reporter.starts == [("geometry", 3, 2), ("texture", 3, 0)]
    assert torch.equal(again.mesh.vertices, whole.mesh.vertices)
