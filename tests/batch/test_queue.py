"""The queue on disk and its driver, with an executor that has no processes."""

import json
import subprocess
import sys

import pytest

from tests.batch.fakes import FakeExecutor, config_of, finish
from xbind.batch.driver import Driver
from xbind.batch.executor import Died, Failed, Finished
from xbind.batch.jobs import BatchError
from xbind.batch.queue import Queue
from xbind.config.options import GenerateConfig, PromptConfig


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "batch")


def states(queue):
    return [record.state for record in queue.records()]


def test_the_same_job_is_submitted_once(queue):
    first = queue.submit(config_of(seed=1))
    assert queue.submit(config_of(seed=1)) == first
    assert queue.submit(config_of(seed=2)).id != first.id
    assert states(queue) == ["queued", "queued"]


def test_jobs_run_in_order_and_their_records_are_read_back(queue):
    ids = [queue.submit(config_of(seed=seed)).id for seed in (5, 3, 9, 1)]
    executor = FakeExecutor()
    Driver(queue, executor).run()
    assert executor.started == ids
    again = Queue(queue.folder)
    assert again.records() == queue.records()
    assert [record.id for record in again.records()] == ids
    record = again.record(ids[0])
    assert (record.state, record.attempts, record.seconds) == ("done", 1, 1.0)
    assert record.messages == ("made",)
    assert (again.folder_of(record) / "mesh.glb").is_file()


def test_finished_work_is_not_repeated(queue):
    queue.submit(config_of())
    Driver(queue, FakeExecutor()).run()
    later = Queue(queue.folder)
    assert later.submit(config_of()).state == "done"
    executor = FakeExecutor()
    Driver(later, executor).run()
    assert executor.started == []


def test_a_result_whose_record_was_not_written_is_not_made_again(queue):
    """The driver died between the rename and its record."""
    record = queue.submit(config_of())
    queue.take()
    queue.result_of(record.job).mkdir()
    later, executor = Queue(queue.folder), FakeExecutor()
    Driver(later, executor).run()
    assert executor.started == []
    assert states(later) == ["done"]


def test_a_result_that_was_removed_is_made_again(queue):
    record = queue.submit(config_of())
    Driver(queue, FakeExecutor()).run()
    (queue.result_of(record.job) / "mesh.glb").unlink()
    queue.result_of(record.job).rmdir()
    assert Queue(queue.folder).submit(config_of()).state == "queued"


def test_what_a_dead_driver_left_running_is_queued_again(queue):
    queue.submit(config_of())
    queue.take()
    later = Queue(queue.folder)
    assert states(later) == ["running"]
    Driver(later, FakeExecutor()).run()
    assert states(later) == ["done"]


def test_a_driver_leaves_the_jobs_of_other_parts(queue):
    mine, other = (queue.submit(config_of(seed=seed)).id for seed in (0, 1))
    queue.take({other})
    executor = FakeExecutor()
    Driver(Queue(queue.folder), executor, ids={mine}).run()
    assert executor.started == [mine]
    assert states(Queue(queue.folder)) == ["done", "running"]


def test_a_failure_does_not_end_the_batch_and_is_not_tried_again(queue):
    bad = queue.submit(config_of(seed=0)).id
    queue.submit(config_of(seed=1))
    executor = FakeExecutor(
        lambda task: Failed(bad, "no such thing") if task.job.id == bad else finish(task)
    )
    Driver(queue, executor).run()
    assert states(queue) == ["failed", "done"]
    assert queue.record(bad).error == "no such thing"
    assert executor.started.count(bad) == 1
    assert queue.submit(config_of(seed=0)).state == "queued"  # a repeated command tries again


@pytest.mark.parametrize(("deaths", "state"), [(2, "done"), (3, "failed")])
def test_a_dead_process_is_replaced_a_few_times(queue, deaths, state):
    id, left = queue.submit(config_of()).id, [deaths]

    def ending(task):
        left[0] -= 1
        return finish(task) if left[0] < 0 else Died(task.job.id, "killed by signal 9")

    executor = FakeExecutor(ending)
    Driver(queue, executor, attempts=3).run()
    record = queue.record(id)
    assert record.state == state
    assert len(executor.started) == 3
    if state == "failed":
        assert record.error == "Its process died 3 times: killed by signal 9."


def test_a_reference_view_waits_until_the_object_is_wanted(queue):
    config = config_of(reference_only=True)
    id = queue.submit(config).id
    driver = Driver(queue, FakeExecutor(lambda task: Finished(task.job.id, 1.0)))
    driver.run()
    assert queue.record(id).state == "reference"
    assert queue.submit(config).state == "reference"
    assert not queue.retry(id).job.config.reference_only
    Driver(queue, FakeExecutor()).run()
    assert queue.record(id).state == "done"
    assert queue.record(id).seconds == 2.0


def test_cancelling_stops_what_runs_and_retry_goes_on(queue):
    running, waiting = (queue.submit(config_of(seed=seed)).id for seed in (0, 1))
    executor = FakeExecutor(lambda task: None)
    driver = Driver(queue, executor)
    driver.step(0)
    for id in (running, waiting):
        queue.cancel(id)
    with pytest.raises(BatchError, match="being stopped"):
        queue.retry(running)
    with pytest.raises(BatchError, match="cancel it first"):
        queue.remove(running)
    driver.step(0)
    assert executor.stopped == [running]
    assert driver.idle
    assert queue.retry(running).state == "queued"
    with pytest.raises(BatchError, match="cannot be cancelled"):
        queue.cancel(waiting)


def test_removing_takes_run_record_and_files(queue, tmp_path):
    picture = tmp_path / "duck.png"
    picture.write_bytes(b"picture")
    config = GenerateConfig(prompt=PromptConfig(image=picture), preset="probe")
    record = queue.submit(config)
    other = queue.submit(GenerateConfig(prompt=PromptConfig(image=picture), preset="smoke"))
    copy = record.job.config.prompt.image
    assert copy.read_bytes() == b"picture"
    assert copy.name == "duck.png"
    assert copy.is_relative_to(queue.folder)
    Driver(queue, FakeExecutor()).run()
    queue.remove(record.id)
    assert copy.exists()  # the other job has it
    assert not queue.result_of(record.job).exists()
    queue.remove(other.id)
    assert not copy.exists()
    assert Queue(queue.folder).records() == []


HOLD = """
import sys
from pathlib import Path
from xbind.batch.queue import Queue
with Queue(Path(sys.argv[1])).drive((int(sys.argv[2]), int(sys.argv[3]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("theirs", "ours", "free"),
    [((1, 1), (1, 1), False), ((1, 2), (2, 2), True), ((1, 2), (1, 2), False),
     ((1, 2), (1, 1), False), ((1, 1), (1, 2), False)],
)  # fmt: skip
def test_a_folder_has_one_driver_for_each_part(queue, theirs, ours, free):
    words = [sys.executable, "-P", "-c", HOLD, str(queue.folder), *map(str, theirs)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        if free:
            with queue.drive(ours) as held:
                assert held
        else:
            with pytest.raises(BatchError, match="Another xbind works"), queue.drive(ours):
                pass
        other.stdin.close()
    with queue.drive(ours) as held:
        assert held


def test_errors_while_driving_are_not_taken_for_those_of_the_lock(queue):
    with pytest.raises(FileNotFoundError), queue.drive():
        raise FileNotFoundError("something else")


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw.replace('"queued"', '"finished"'),
        lambda raw: json.dumps({"id": "x", "state": "queued"}),
    ],
)
def test_a_damaged_record_is_refused(queue, damage):
    record = queue.submit(config_of())
    path = queue.folder / "jobs" / f"{record.id}.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(BatchError, match="cannot be read"):
        Queue(queue.folder)
