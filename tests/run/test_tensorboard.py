"""What is logged for TensorBoard, read back with TensorBoard's own reader."""

import importlib.util
import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xbind.config.options import GenerateConfig, PromptConfig
from xbind.run.folder import start_run
from xbind.run.preflight import check_generate
from xbind.run.progress import PlainReporter, Reporter, StepRecord
from xbind.run.tensorboard import TensorBoardMissing, TensorBoardReporter, with_tensorboard

SETTINGS = {"prompt": {"text": "a red mug"}, "seed": 0, "preset": "smoke", "method": {}}


def steps(reporter, stage, first, last, value):
    for step in range(first, last + 1):
        reporter.step(StepRecord(phase=stage, step=step, terms={"ms": value * step}))


def read(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def scalars(folder, tag="loss/ms"):
    return {event.step: event.value for event in read(folder).Scalars(tag)}


def test_each_stage_has_its_terms_by_step_and_the_display_sees_all(tmp_path):
    stream = io.StringIO()
    with with_tensorboard(PlainReporter(stream), tmp_path) as reporter:
        assert isinstance(reporter, Reporter)
        reporter.phase_started("coarse", 3)
        steps(reporter, "coarse", 1, 3, 0.5)
        reporter.phase_started("geometry", 2)
        steps(reporter, "geometry", 1, 2, -1.0)
        reporter.message("hello")
        reporter.finished([tmp_path / "mesh.glb"], 3)
    assert scalars(tmp_path / "tensorboard" / "coarse") == {1: 0.5, 2: 1.0, 3: 1.5}
    assert scalars(tmp_path / "tensorboard" / "geometry") == {1: -1.0, 2: -2.0}
    shown = stream.getvalue()
    assert "coarse 3/3  ms 1.5" in shown
    assert "geometry: 2 steps" in shown
    assert "hello\nDone in 3 s" in shown


def test_previews_are_pictures_at_their_step(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1, 2] = (255, 128, 0)
    Image.fromarray(picture).save(tmp_path / "coarse_00002.png")
    with with_tensorboard(PlainReporter(io.StringIO()), tmp_path) as reporter:
        reporter.phase_started("coarse", 3)
        steps(reporter, "coarse", 1, 2, 1.0)
        reporter.preview(tmp_path / "coarse_00002.png")
    [event] = read(tmp_path / "tensorboard" / "coarse").Images("preview")
    assert event.step == 2
    with Image.open(io.BytesIO(event.encoded_image_string)) as shown:
        np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), picture)


def test_a_resumed_stage_replaces_what_came_after_its_checkpoint(tmp_path):
    for done, value in ((0, 1.0), (2, 10.0)):
        with with_tensorboard(PlainReporter(io.StringIO()), tmp_path) as reporter:
            reporter.phase_started("coarse", 5, done)
            steps(reporter, "coarse", done + 1, 4, value)
    assert scalars(tmp_path / "tensorboard" / "coarse") == {1: 1.0, 2: 2.0, 3: 30.0, 4: 40.0}


def test_nothing_is_written_before_the_first_stage(tmp_path):
    with with_tensorboard(PlainReporter(io.StringIO()), tmp_path / "run") as reporter:
        reporter.message("loading")
    assert not (tmp_path / "run").exists()


def test_files_are_closed_when_a_run_fails(tmp_path):
    def fail():
        with with_tensorboard(PlainReporter(io.StringIO()), tmp_path) as reporter:
            reporter.phase_started("coarse", 5)
            steps(reporter, "coarse", 1, 2, 1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert scalars(tmp_path / "tensorboard" / "coarse") == {1: 1.0, 2: 2.0}


def test_overwrite_removes_the_logs_and_nothing_else(tmp_path):
    out = tmp_path / "run"
    with start_run(out, SETTINGS):
        pass
    with TensorBoardReporter(PlainReporter(io.StringIO()), out) as reporter:
        reporter.phase_started("coarse", 2)
        steps(reporter, "coarse", 1, 2, 1.0)
    (out / "tensorboard" / "coarse" / "notes.txt").write_text("mine")
    with start_run(out, SETTINGS, overwrite=True):
        pass
    assert [p.name for p in (out / "tensorboard").rglob("*.*")] == ["notes.txt"]
    (out / "tensorboard" / "coarse" / "notes.txt").unlink()
    with start_run(out, SETTINGS, overwrite=True):
        pass
    assert not (out / "tensorboard").exists()


def test_a_link_in_place_of_the_logs_is_removed_and_its_target_stays(tmp_path):
    out, theirs = tmp_path / "run", tmp_path / "theirs"
    with start_run(out, SETTINGS):
        pass
    (theirs / "coarse").mkdir(parents=True)
    log = theirs / "coarse" / "events.out.tfevents.1.host"
    log.write_bytes(b"x")
    (out / "tensorboard").symlink_to(theirs)
    with start_run(out, SETTINGS, overwrite=True) as folder:
        assert any("tensorboard" in warning for warning in folder.warnings)
    assert not (out / "tensorboard").is_symlink()
    assert log.read_bytes() == b"x"


def test_a_missing_package_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name)
    )
    config = GenerateConfig(
        prompt=PromptConfig(text="a red mug"), out=tmp_path / "run", tensorboard=True
    )
    with pytest.raises(TensorBoardMissing, match=r"pip install 'xbind\[tensorboard\]'"):
        check_generate(config)
    assert not (tmp_path / "run").exists()
