"""What was tried and what became of it: one line for each case, and the page with the counts."""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.faults import watch

Case = tuple[str, Callable[[], str | None]]
"""A name, and what tries it: returns why it is not clean, None if it is."""

ABOUT = {
    "kill": "SIGKILL at a random moment, then the advised command; final bytes compared",
    "interrupt": "Ctrl-C at moments spread over a run, once and twice; message, advice, status",
    "damage": "one file of a run, evaluation, engine, bundle or cache changed, then read back",
    "input": "options, paths and prompt files that are malformed",
    "machine": "full and read-only disks, limits, no home folder, missing system calls, clocks",
    "together": "several runs at the same time, in one folder and in several",
    "streams": "standard output and error closed, full, or in ASCII",
}
"""Class → what is tried."""


@dataclass(frozen=True)
class Outcome:
    """Of one case."""

    case: str
    """Its name, which starts with its class."""
    fault: str | None
    """Why it is not clean."""
    seconds: float
    programs: int
    """Programs that its commands started."""
    connections: int
    """Connections that they opened, packets that they sent, names that they looked up."""

    @property
    def kind(self) -> str:
        """Its class."""
        return self.case.partition("/")[0]


def try_all(cases: Iterator[Case], record: Path) -> Iterator[Outcome]:
    """Try what `record` does not hold yet; every outcome is added to it at once."""
    outcomes = read_outcomes(record)
    done = {outcome.case for outcome in outcomes}
    record.write_text("".join(_line(outcome) for outcome in outcomes))  # without a torn last line
    for name, attempt in cases:
        if name in done:
            continue
        outcome = try_one(name, attempt)
        with record.open("a") as file:
            file.write(_line(outcome))
        yield outcome


def try_one(name: str, attempt: Callable[[], str | None]) -> Outcome:
    """Try a case; one that starts a program or opens a connection is not clean."""
    watch.take()
    started = time.monotonic()
    fault = attempt()
    seconds, events = round(time.monotonic() - started, 2), watch.take()
    programs = watch.programs(events)
    if events and fault is None:
        fault = f"asks for more than files: {events[0]}"
    return Outcome(name, fault, seconds, programs, len(events) - programs)


def read_outcomes(record: Path) -> list[Outcome]:
    """All outcomes so far, but a last line that was cut short and cases without every count."""
    if not record.exists():
        return []
    fields = {field.name for field in dataclasses.fields(Outcome)}
    found = [json.loads(line) for line in record.read_text().split("\n")[:-1]]
    return [Outcome(**outcome) for outcome in found if outcome.keys() == fields]


def _line(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome)) + "\n"


def to_page(outcomes: list[Outcome]) -> str:
    """`docs/evidence/reliability.md`."""
    tried = Counter(outcome.kind for outcome in outcomes)
    clean = Counter(outcome.kind for outcome in outcomes if outcome.fault is None)
    rows = [
        f"| {kind} | {about} | {tried[kind]} | {clean[kind]} |" for kind, about in ABOUT.items()
    ]
    programs = sum(outcome.programs for outcome in outcomes)
    connections = sum(outcome.connections for outcome in outcomes)
    faults = [f"- `{o.case}`: {' '.join(o.fault.split())}" for o in outcomes if o.fault]
    return "\n".join(
        [
            "# Reliability",
            "",
            "Written by `make faults`. A case is clean if the command ends with a documented",
            "status and a message without a traceback, and if what it leaves is what an",
            "undisturbed run leaves, or is refused. `make test` tries a few cases of every class.",
            "No command may start a program, open a connection, send a packet or look up a name:",
            "audit events of Python and child processes that ended are counted in every case.",
            "",
            "| class | what is tried | tried | clean |",
            "|---|---|---:|---:|",
            *rows,
            f"| all | | {sum(tried.values())} | {sum(clean.values())} |",
            "",
            f"Programs started: {programs}. Connections opened: {connections}.",
            "",
            "## Not clean",
            "",
            *(faults or ["None."]),
            "",
        ]
    )
