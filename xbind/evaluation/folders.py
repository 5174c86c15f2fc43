"""Folders of `xbind eval run`, read back: judged objects with prompts, seeds and times."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbind.batch.local import LOGS
from xbind.batch.queue import Record, read_records
from xbind.errors import XBindError
from xbind.evaluation.making import QUEUE
from xbind.evaluation.records import CALIBRATION, SETTINGS, EvaluationFolder

Key = tuple[str, int]
"""Content of a prompt as JSON text, and seed."""
_NEEDED = {"preset", "without", "phase2_loss", "prompts", "seed", "commits", "commands"}


@dataclass(frozen=True, slots=True)
class Judged:
    """One object of a method."""

    run: Path
    """Folder of its run."""
    row: Mapping[str, Any]
    """Its line of `scores.jsonl`."""
    prompt: Mapping[str, Any]
    """Its entry of the list, as `evaluation.json` holds it."""
    record: Record
    """What the queue knows of its run."""

    @property
    def seconds(self) -> float | None:
        """Wall time of the run; None if it was started more than once, or made nothing.

        A run whose command was killed counts from the checkpoint that it went on from.
        """
        whole = self.record.attempts == 1 and self.record.seconds > 0
        return self.record.seconds if whole else None


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of `xbind eval run`, all of whose objects are judged."""

    path: Path
    settings: Mapping[str, Any]
    objects: Mapping[Key, Judged]
    """In the order of the list."""
    calibration: Mapping[str, Mapping[str, float]] | None
    workers: int | None
    """Processes that shared the work on this machine; None if that is not known."""


def read_folder(path: Path) -> Folder:
    """Reads an evaluation, all of whose objects are judged.

    Raises:
        XBindError: the folder holds no evaluation, an unfinished one, or no record of an object.
    """
    folder = EvaluationFolder(path)
    settings = folder.read_json(SETTINGS) if path.is_dir() else None
    if settings is None:
        raise XBindError(
            f"There is no evaluation in {path}: it has no {SETTINGS}.\n"
            f"Give a folder that `xbind eval run` was given with --out."
        )
    if missing := _NEEDED - settings.keys():
        raise XBindError(
            f"{path / SETTINGS} is not that of an evaluation; it lacks "
            f"{', '.join(sorted(missing))}.\n"
            f"Give a folder that `xbind eval run` was given with --out."
        )
    rows = folder.rows()
    if len(rows) < len(settings["prompts"]):
        raise XBindError(
            f"The evaluation in {path} is not finished: {len(rows)} of "
            f"{len(settings['prompts'])} objects are judged.\nFinish it with:  "
            f"{settings['commands'][-1]}"
        )
    calibration = folder.read_json(CALIBRATION)
    return Folder(
        path, settings, _objects_of(path, settings, rows),
        calibration["known"] if calibration else None,
        len(list((path / QUEUE / LOGS).glob("worker-*.log"))) or None,
    )  # fmt: skip


def _objects_of(
    path: Path, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> dict[Key, Judged]:
    """The judged objects by their prompts, which the queue's records tell: by place in the list."""
    prompts, judged = settings["prompts"], {row["object"]: row for row in rows}
    records = {record.job.name: record for record in read_records(path / QUEUE)
               if record.state == "done" or record.has_no_surface}  # fmt: skip
    if lost := [name for name in judged if name not in records]:
        raise XBindError(
            f"{path / QUEUE} has no record of {lost[0]}, which says what its prompt was.\n"
            f"Write it again with:  {settings['commands'][-1]}"
        )
    objects: dict[Key, Judged] = {}
    for name in sorted(judged, key=lambda name: records[name].order):
        prompt = dict(prompts[records[name].order])
        seed = prompt.pop("seed", settings["seed"])
        key = (json.dumps(prompt, sort_keys=True), seed)
        objects[key] = Judged(path / name, judged[name], prompt, records[name])
    return objects
