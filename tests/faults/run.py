"""`make faults`: tries every class of fault on the commands; writes docs/evidence/reliability.md.

    python -P tests/faults/run.py [--scale 0.02] [--class kill ...] [--case kill/3 ...]
                                  [--out out/faults]
                                  [--document docs/evidence/reliability.md]

Called again it goes on where it stopped. Scale 1 is 123 runs that are killed, 40 that are
interrupted, 600 damaged files, 600 malformed inputs and every state of the machine: hours.
Exit status 1 if a case is not clean.
"""

import argparse
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# `tests` without the root on the path, where `import kernels` would be found (setup.py)
tests = types.ModuleType("tests")
tests.__path__ = [str(ROOT / "tests")]
sys.modules.setdefault("tests", tests)
sys.path.insert(0, str(ROOT / "tests" / "support"))

import torch  # noqa: E402

from tests.faults import damage, inputs, kills, machine  # noqa: E402
from tests.faults.outcomes import Case, read_outcomes, to_page, try_all  # noqa: E402

CLASSES: dict[str, Callable[[Path, float], Iterator[Case]]] = {
    "input": lambda folder, scale: inputs.input_cases(folder, round(600 * scale)),
    "damage": lambda folder, scale: damage.damage_cases(folder, round(600 * scale)),
    "streams": machine.stream_cases,
    "machine": machine.machine_cases,
    "interrupt": lambda folder, scale: kills.interrupt_cases(folder, round(40 * scale)),
    "kill": lambda folder, scale: _kills(folder, scale),
    "together": machine.together_cases,
}


def _kills(folder: Path, scale: float) -> Iterator[Case]:
    yield from kills.kill_cases(folder, round(100 * scale))
    yield from kills.old_run_cases(folder, round(20 * scale))
    yield from kills.default_cases(folder, round(3 * scale))


def main() -> int:
    """Tries what is not tried yet, writes the page, and returns the exit status."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--scale", type=float, default=1.0, help="share of the cases")
    arguments.add_argument("--class", dest="classes", nargs="*", choices=CLASSES, default=[])
    arguments.add_argument("--case", dest="cases", nargs="*", default=[], help="only these")
    arguments.add_argument("--out", type=Path, default=Path("out/faults"), help="for runs")
    arguments.add_argument("--document", type=Path, help="page to write")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    folder, record = given.out.resolve(), given.out.resolve() / "outcomes.jsonl"
    for name in given.classes or CLASSES:
        cases = CLASSES[name](folder, given.scale)
        wanted = (case for case in cases if not given.cases or case[0] in given.cases)
        for outcome in try_all(wanted, record):
            _say(f"{outcome.case}: {outcome.fault or 'clean'} ({outcome.seconds:.1f} s)")
    outcomes = read_outcomes(record)
    if given.document is not None:
        given.document.write_text(to_page(outcomes))
    bad = sum(outcome.fault is not None for outcome in outcomes)
    _say(f"{len(outcomes)} cases, {len(outcomes) - bad} clean")
    return int(bad > 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
