"""`xbind batch`: submits a list of prompts, runs the jobs, and shows what became of them."""

import csv
import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.table import Table

from xbind.batch.driver import Driver
from xbind.batch.executor import Executor
from xbind.batch.jobs import BatchError, Job, make_job
from xbind.batch.local import LocalExecutor
from xbind.batch.prompts import ListedPrompt, read_prompts
from xbind.batch.queue import RUNS, Queue, Record
from xbind.cli.batch_config import BatchConfig
from xbind.cli.batch_progress import choose_watcher
from xbind.cli.eval_configs import EvalRunConfig
from xbind.cli.guard import say
from xbind.config.batch import parse_seeds
from xbind.errors import XBindError
from xbind.files import atomic_write
from xbind.run.console import PlainConsole
from xbind.run.progress import format_seconds

SUMMARY = "summary.csv"
SHOWN = 40
"""Rows of the table at the end; of more objects it shows those that failed."""


def run_batch(config: BatchConfig) -> None:
    """Make what is not there yet.

    Raises:
        BatchError: the list is wrong, another process works in the folder, or, after the others
            were made, an object failed.
        XBindError: a preset, bundle or file cannot be used, or the folder cannot be written.
    """
    jobs = list_jobs(config, read_prompts(config.prompts))
    queue = Queue(config.out)
    with ExitStack() as stack:
        if not stack.enter_context(queue.drive(config.share())):
            say(f"The file system of {config.out} has no locks: start no other xbind batch there.")
        ids = [queue.add(job, order).id for order, job in jobs]
        queue.recover(ids)
        waiting = sum(queue.record(id).state == "queued" for id in ids)
        if waiting < len(ids):
            say(f"{len(ids) - waiting} of {len(ids)} objects are there already")
        if waiting:
            executor = make_executor(config, queue, waiting)
            stack.callback(executor.close)
            watcher = stack.enter_context(choose_watcher(waiting))
            driver = Driver(
                queue, executor, ids=set(ids), attempts=config.attempts, watcher=watcher
            )
            driver.run()
    _conclude(queue, [queue.record(id) for id in ids])


def list_jobs(config: BatchConfig, prompts: Sequence[ListedPrompt]) -> list[tuple[int, Job]]:
    """Returns this part's jobs with their places in the list: prompt by prompt, seed by seed.

    What is listed twice, by whatever names its files have, is one job.

    Raises:
        BatchError: an entry cannot be used; the message has its line.
        XBindError: there is no such preset, setting, bundle or 3D prior.
    """
    seeds, found = parse_seeds(config.seeds), dict[str, Job]()
    for entry in prompts:
        for seed in seeds if entry.seed is None else (entry.seed,):
            try:
                job = make_job(config.run_of(entry.prompt, seed))
            except ValueError as error:
                raise BatchError(f"{config.prompts}, line {entry.line}: {error}.") from error
            except XBindError as error:
                raise BatchError(f"{config.prompts}, line {entry.line}: {error}") from error
            found.setdefault(job.id, job)
    k, n = config.share()
    return list(enumerate(found.values()))[k - 1 :: n]


def write_summary(queue: Queue) -> Path:
    """Writes a CSV file with a row for each job of a folder, in the order of its list.

    Returns:
        The file.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "prompt", "seed", "state", "seconds", "attempts", "folder", "error"])
    for record in queue.records():
        folder = queue.folder_of(record).relative_to(queue.folder)
        job = record.job
        writer.writerow(
            [job.id, job.label, job.config.seed, record.state, f"{record.seconds:.1f}",
             record.attempts, folder, record.error or ""]
        )  # fmt: skip
    path = queue.folder / SUMMARY
    atomic_write(path, text.getvalue().encode())
    return path


def make_executor(config: BatchConfig | EvalRunConfig, queue: Queue, waiting: int) -> Executor:
    """Returns what runs the jobs of a command: processes here, or a Ray cluster.

    Args:
        config: the command.
        queue: whose folder gets the logs of processes.
        waiting: how many objects there are to make.

    Raises:
        BatchError: there is no such cluster, or Ray is not installed.
    """
    if config.ray is not None:
        from xbind.batch.ray import RayExecutor

        return RayExecutor(
            config.ray, workers=config.workers, device=config.device, threads=config.threads
        )
    executor = LocalExecutor(queue.folder, workers=config.workers, device=config.device)
    say(f"{waiting} objects to make; workers: {len(executor)}")
    return executor


def _conclude(queue: Queue, records: Sequence[Record]) -> None:
    """The summary, the table, and an error if an object failed."""
    summary = write_summary(Queue(queue.folder))  # with what other parts have written
    failed = [record for record in records if record.state != "done"]
    shown = records if len(records) <= SHOWN else failed
    if shown:
        PlainConsole(soft_wrap=True).print(_table(shown, queue))
    say(f"{len(records) - len(failed)} of {len(records)} objects are in {queue.folder / RUNS}")
    if failed:
        raise BatchError(
            f"{len(failed)} of {len(records)} objects failed.\n"
            f"The reasons are in {summary}. Repeat the command to try them again."
        )


def _table(records: Sequence[Record], queue: Queue) -> Table:
    table = Table("prompt", "seed", "state", "time", "folder, or why it failed", box=None)
    for record in records:
        if record.state == "done":
            note = str(queue.folder_of(record).relative_to(queue.folder))
        else:
            note = (record.error or "").partition("\n")[0]
        table.add_row(
            record.job.label, str(record.job.config.seed), record.state,
            format_seconds(record.seconds), note,
        )  # fmt: skip
    return table
