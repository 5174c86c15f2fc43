"""Engines that the next stage uses stay open, and the first phase's are opened ahead."""

from pathlib import Path
from threading import Event, current_thread, main_thread
from types import SimpleNamespace

import pytest

from xbind.networks import open_engines
from xbind.networks.graphs import GraphRequest
from xbind.networks.open_engines import OpenEngines
from xbind.networks.runtime import EngineRun, Part

WAIT_S = 20
STAGES = {
    "reference": ["unet2d"], "coarse": ["sds2d_img", "sds3d_img", "ms"],
    "geometry": ["cds2d", "sds3d_img", "ms"], "texture": ["sds2d_img", "sds3d_img", "ms"],
}  # fmt: skip


class Log(list):
    """What is opened and closed, with the thread that opened it."""

    def open_backend(self, entry, **how):
        by = "" if current_thread() is main_thread() else " ahead"
        self.append(f"open {entry.folder.name}{by}")
        if entry.folder.name == "broken":
            raise ArithmeticError
        return SimpleNamespace(close=lambda: self.append(f"close {entry.folder.name}"))


@pytest.fixture
def log(monkeypatch):
    log = Log()
    monkeypatch.setattr(open_engines, "open_backend", log.open_backend)
    return log


def run_of(threads):
    parts = {
        stage: Part([GraphRequest(name, 1, 64) for name in names])
        for stage, names in STAGES.items()
    }
    entries = {
        (request, part.savings.precision): SimpleNamespace(folder=Path(request.name))
        for part in parts.values()
        for request in part.requests
    }
    bundle = SimpleNamespace(unclip=SimpleNamespace(unet=None))
    return EngineRun("openvino", bundle, parts, entries, threads=threads)


def use(run, stage):
    """Open every engine of a stage as its steps do."""
    for name in STAGES[stage]:
        run._load(run._parts[stage], name, 1)


def test_engines_of_the_next_stage_stay_open(log):
    run = run_of(1)
    run.look_ahead()
    for stage in ("coarse", "geometry", "texture"):
        with run.stage(stage):
            use(run, stage)
    assert sorted(log) == sorted([
        "open sds2d_img", "open sds3d_img", "open ms", "close sds2d_img",
        "open cds2d", "close cds2d", "open sds2d_img",
        "close sds2d_img", "close sds3d_img", "close ms",
    ])  # fmt: skip


def test_a_stage_that_fails_closes_everything(log):
    run = run_of(1)
    run.look_ahead()

    def fail():
        with run.stage("geometry"):
            use(run, "geometry")
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert len(run._engines) == 0


def test_without_it_a_stage_closes_what_it_opened(log):
    run = run_of(1)
    for stage in ("coarse", "geometry"):
        with run.stage(stage):
            use(run, stage)
        assert len(run._engines) == 0


def test_engines_of_phase_one_are_opened_beside_the_reference_view(log, monkeypatch):
    monkeypatch.setattr("xbind.networks.runtime.EngineUNet", lambda *_: None)
    monkeypatch.setattr("xbind.networks.runtime.replace", lambda whole, **_: whole)
    run = run_of(2)
    run.look_ahead()
    with run.stage("reference"):
        run._ahead._pool.submit(lambda: None).result(WAIT_S)  # after those that were begun
    assert [line for line in log if "ahead" in line] == [
        "open sds2d_img ahead", "open sds3d_img ahead", "open ms ahead"
    ]  # fmt: skip
    with run.stage("coarse"):
        use(run, "coarse")
    assert len([line for line in log if line.startswith("open")]) == 3


def test_two_threads_open_one_engine(monkeypatch):
    opening, go_on = Event(), Event()
    made = []

    def slow(entry, **how):
        made.append(entry)
        opening.set()
        assert go_on.wait(WAIT_S)
        return object()

    monkeypatch.setattr(open_engines, "open_backend", slow)
    engines, entry = OpenEngines(), SimpleNamespace(folder=Path("a"))
    ahead = open_engines.Ahead()
    found = []
    ahead.start(lambda: found.append(engines.get(entry, threads=1)))
    assert opening.wait(WAIT_S)
    go_on.set()
    assert engines.get(entry, threads=1) is not None
    ahead.wait()
    assert len(made) == 1
    assert found == [engines.get(entry, threads=1)]


def test_an_engine_that_cannot_be_opened_fails_where_it_is_used(log):
    engines, entry = OpenEngines(), SimpleNamespace(folder=Path("broken"))
    ahead = open_engines.Ahead()
    ahead.start(lambda: engines.get(entry, threads=1))
    ahead.wait()
    assert len(engines) == 0
    with pytest.raises(ArithmeticError):
        engines.get(entry, threads=1)
    engines.close()
