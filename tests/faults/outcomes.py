"""What was tried and what became of it: one line for each case, and the page with the counts."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

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
        started = time.monotonic()
        fault = attempt()
        outcome = Outcome(name, fault, round(time.monotonic() - started, 2))
        with record.open("a") as file:
            file.write(_line(outcome))
        yield outcome


def read_outcomes(record: Path) -> list[Outcome]:
    """All outcomes so far; a last line that was cut short is left out."""
    if not record.exists():
        return []
    lines = record.read_text().split("\n")[:-1]
    return [Outcome(**json.loads(line)) for line in lines]


def _line(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome)) + "\n"


def to_page(outcomes: list[Outcome]) -> str:
    """`docs/evidence/reliability.md`."""
    tried = Counter(outcome.kind for outcome in outcomes)
    clean = Counter(outcome.kind for outcome in outcomes if outcome.fault is None)
    rows = [
        f"| {kind} | {about} | {tried[kind]} | {clean[kind]} |" for kind, about in ABOUT.items()
    ]
    faults = [f"- `{o.case}`: {' '.join(o.fault.split())}" for o in outcomes if o.fault]
    return "\n".join(
        [
            "# Reliability",
            "",
            "Written by `make faults`. A case is clean if the command ends with a documented",
            "status and a message without a traceback, and if what it leaves is what an",
            "undisturbed run leaves, or is refused. `make test` tries a few cases of every class.",
            "",
            "| class | what is tried | tried | clean |",
            "|---|---|---:|---:|",
            *rows,
            f"| all | | {sum(tried.values())} | {sum(clean.values())} |",
            "",
            "## Not clean",
            "",
            *(faults or ["None."]),
            "",
        ]
    )
