"""The course of a job as server-sent events.

job       the job, whenever it has changed
steps     new records of `events.jsonl`; the id of the event is the offset behind them
reset     a resumed run has cut its records back: forget those before
preview   name of a new picture of the work in hand
end       nothing more happens by itself
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from xbind.config.serve import KEEP_ALIVE_S, POLL_S
from xbind.run.checks import EVENTS, PREVIEWS
from xbind.run.json_files import CHECKSUM
from xbind.server.service import Moment, Service
from xbind.server.views import job_view

PIECE_BYTES = 2**16
"""Bytes of `events.jsonl` that one event is made from, at most; a line is far shorter."""
_SHOWN = ("reference.png", "references.png", "mask.png")


async def job_events(service: Service, id: str, offset: int = 0) -> AsyncIterator[str]:
    """Yields events until the job has ended or is removed, or the server stops.

    A server that stops sends no `end`, so that a page connects again.

    Args:
        service: of the server.
        id: of the job.
        offset: bytes of `events.jsonl` that the client knows already.
    """
    tail, silent_since = _Tail(offset), time.monotonic()
    before: Moment | None = None
    while (record := service.find(id)) is not None:
        moment = service.moment(record)
        news = list(tail.read(service.folder(record)))
        if moment != before:
            news.append(_event("job", job_view(service, moment).model_dump_json()))
        before = moment
        if service.stopping():
            return
        if news:
            silent_since = time.monotonic()
            for event in news:
                yield event
        elif record.ended:
            break
        elif time.monotonic() - silent_since > KEEP_ALIVE_S:
            silent_since = time.monotonic()
            yield ": still there\n\n"
        if not tail.more:
            await asyncio.sleep(POLL_S)
    yield _event("end", {})


class _Tail:
    """What is new in the folder of a run."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._seen: set[tuple[str, int]] = set()
        self.more = False
        """Whether more can be read at once."""

    def read(self, run: Path) -> Iterator[str]:
        """Yields the events for what is new, a bounded number of bytes at a time."""
        yield from self._steps(run / EVENTS)
        for name, written in _pictures(run):
            if (name, written) not in self._seen:
                self._seen.add((name, written))
                yield _event("preview", {"name": name})

    def _steps(self, path: Path) -> Iterator[str]:
        self.more = False
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:
                    self._offset = 0
                    yield _event("reset", {})
                file.seek(self._offset)
                data = file.read(PIECE_BYTES)
        except OSError:  # not there yet, or just being renamed
            return
        self.more = size > self._offset + len(data)
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        if records := [record for line in whole.splitlines() if (record := _record(line))]:
            yield f"id: {self._offset}\n" + _event("steps", {"records": records})


def _pictures(run: Path) -> list[tuple[str, int]]:
    """Names of the pictures of a run with the time of writing, in ns; the oldest first."""
    folder = run / PREVIEWS
    try:
        paths = [*folder.glob("[a-z]*.png")] if folder.is_dir() else []
        paths += [run / name for name in _SHOWN if (run / name).is_file()]
        found = [(p.relative_to(run).as_posix(), p.stat().st_mtime_ns) for p in paths]
    except OSError:  # renamed meanwhile
        return []
    return sorted(found, key=lambda each: each[1])


def _record(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None for one that is damaged, which the run reports on resuming."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    record.pop(CHECKSUM, None)
    return record


def _event(name: str, data: object) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n"
