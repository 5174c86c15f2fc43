"""Coverage-guided fuzzing of every loader, for a bounded number of executions.

    python -P tests/faults/fuzz/run.py [--runs 400] [--seconds 100] [--keep] [TARGET ...]

libFuzzer, through `atheris`, changes the files of `corpus/` and the seeds, and keeps what reaches
new lines of our loaders and of the libraries in Python below them. Where atheris is not installed,
which has no wheels for some versions of Python, the same targets run on random changes instead, and
the output says so. Exit status 1 if a loader failed; the file that did it is in `--faults`.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from contextlib import redirect_stderr
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
CORPUS = HERE / "corpus"
MAX_BYTES = 4096
"""Of a changed file."""
TIMEOUT_S, MEMORY_MIB = 20, 4096
"""Of one execution."""
INSTRUMENTED = (
    "PIL", "numpy.lib", "soundfile", "trimesh.exchange", "xbind.conditioning", "xbind.importing",
    "xbind.models.tokenizer", "xbind.networks.manifest", "xbind.scene.mesh.gltf",
    "xbind.scene.mesh.textured", "xbind.system.untrusted",
)  # fmt: skip
"""Modules whose lines are counted."""


def main() -> int:
    """Runs the targets one after another; the exit status."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("targets", nargs="*", help="names of loaders; all by default")
    arguments.add_argument("--runs", type=int, default=400, help="executions of each")
    arguments.add_argument("--seconds", type=int, default=80, help="time for all of them")
    arguments.add_argument("--seed", type=int, default=1, help="of the changes")
    arguments.add_argument("--keep", action="store_true", help="add to corpus/ what reaches more")
    arguments.add_argument("--faults", type=Path, default=Path("out/fuzz"), help="for bad files")
    given = arguments.parse_args()
    guided = import_targets()
    from loader_targets import TARGETS

    unknown = sorted(set(given.targets) - TARGETS.keys())
    if unknown:
        arguments.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    given.faults.mkdir(parents=True, exist_ok=True)
    names = given.targets or list(TARGETS)
    if not guided:
        print(f"atheris is not installed for Python {sys.version.split()[0]}: random changes only")
    end, bad = time.monotonic() + given.seconds, []
    for left, name in zip(range(len(names), 0, -1), names, strict=True):
        share = max(1, int((end - time.monotonic()) / left))
        failed = (run_guided if guided else run_random)(name, share, given)
        bad += [name] if failed else []
    print(f"{len(names) - len(bad)} of {len(names)} loaders hold; failed: {', '.join(bad) or '-'}")
    return int(bool(bad))


def import_targets() -> bool:
    """Imports the loaders, instrumented where atheris is installed; whether it is.

    Once, before the targets run in forks of this process: it takes longer than their runs.
    """
    import torch

    torch.set_num_threads(1)
    try:
        import atheris
    except ImportError:
        return False
    with redirect_stderr(StringIO()), atheris.instrument_imports(include=list(INSTRUMENTED)):
        import loader_targets  # noqa: F401
    return True


def run_guided(name: str, seconds: int, given: argparse.Namespace) -> bool:
    """Runs libFuzzer on one target, in a fork, since it ends its process; whether it failed."""
    from loader_targets import TARGETS

    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        found, seeds, log = (Path(made) / part for part in ("found", "seeds", "log"))
        found.mkdir()
        seeds.mkdir()
        for seed, data in TARGETS[name].seeds().items():
            (seeds / seed).write_bytes(data)
        words = [__file__, f"-runs={given.runs}", f"-max_total_time={seconds}",
                 f"-seed={given.seed}", f"-max_len={MAX_BYTES}", f"-timeout={TIMEOUT_S}",
                 f"-rss_limit_mb={MEMORY_MIB}", "-print_final_stats=1",
                 f"-artifact_prefix={given.faults}/{name}-", str(found), str(kept),
                 str(seeds)]  # fmt: skip
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            fuzz(name, words, log)
        _, status = os.waitpid(child, 0)
        said = log.read_text(errors="replace")
        reached = sorted(found.iterdir())
        if given.keep:
            for path in reached:
                path.replace(kept / path.name)
    runs = re.search(r"number_of_executed_units: (\d+)", said)
    print(
        f"{name}: {'failed' if status else 'holds'}, {runs[1] if runs else 0} runs in "
        f"{time.monotonic() - started:.0f} s, {len(reached)} of them reach more"
    )
    if status:
        print(said[-6000:])
    return bool(status)


def run_random(name: str, seconds: int, given: argparse.Namespace) -> bool:
    """Runs one target on random changes of its files; whether it failed."""
    from loader_targets import TARGETS
    from mutations import mutations

    target, end = TARGETS[name], time.monotonic() + seconds
    files = [*target.seeds().values(), *(p.read_bytes() for p in (CORPUS / name).glob("*"))]
    count = 0
    for number, data in enumerate(files):
        for changed in islice(mutations(data, given.seed + number), given.runs // len(files) + 1):
            if time.monotonic() > end:
                break
            count += 1
            with tempfile.TemporaryDirectory() as folder:
                try:
                    target.check(changed, Path(folder))
                except Exception as error:
                    path = given.faults / f"{name}-{number}-{count}"
                    path.write_bytes(changed)
                    print(f"{name}: failed, {type(error).__name__}: {error}\n  {path}")
                    return True
    print(f"{name}: holds, {count} random changes")
    return False


def fuzz(name: str, words: list[str], log: Path) -> NoReturn:
    """Hands one target to libFuzzer, which ends the process; what it says goes to `log`."""
    import atheris
    from loader_targets import TARGETS

    file = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    target = TARGETS[name]

    def once(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target.check(data, Path(folder))

    atheris.Setup(words, once)
    atheris.Fuzz()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
