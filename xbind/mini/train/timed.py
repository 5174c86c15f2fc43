"""Train the priors in a given time: `python -P -m xbind.mini.train.timed --out FOLDER`.

For a GPU that is there for minutes. One command renders the world on all CPU cores, encodes it, and
trains the 2D prior and both 3D priors from the weights of the shipped bundle, or from those that an
earlier call wrote (`--start`). The averaged weights of each prior are in FOLDER in half precision,
at most a minute old whenever it ends: 9 MB each. Copied into the folder of a training, they are
checkpoints to resume from or to assemble.

Standard output has a JSON line for each command and the lines of each prior's log. A training that
fails is restarted without CUDA graphs, then without compilation; the lines show it.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch

from xbind.errors import XBindError
from xbind.mini.train.lengths import CPU, samples_seen
from xbind.mini.train.options import positive, positive_number, training_device
from xbind.mini.train.resolutions import RESOLUTIONS, SMALL
from xbind.mini.world.categories import DETAILS

SHARES = {"unclip": 2.0, "zero123": 2.0, "zero123_narrow": 1.0}
"""Parts in the order of their training, with their shares of the time that is left for it."""
OBJECTS = 20_400
"""Rendered objects: 150 CPU seconds with six views each."""
VIEWS = 6
"""Rendered views of each object, those that the priors are trained on."""
BATCH = 2048
"""Samples per step: thousands keep a GPU busy. Not measured."""
MINUTES = 8.5
"""Time for all of it."""
START_S = 25.0
"""Allowance for a prior's process beside its training: imports, data, the last checkpoint."""
GRACE_S = 20.0
"""Time after the end of its share at which a prior's training is killed."""
LEAST_S = 15.0
"""Training time below which a prior is left out."""
SAVE_EVERY_S = 60.0
"""Seconds between two checkpoints."""
UNLIMITED = 10**12
"""Samples of a training that the clock ends."""
VARIANTS = ((), ("--no-cuda-graph",), ("--no-cuda-graph", "--no-compile"))
"""Options of a prior's attempts, the fastest first; a CPU starts with none of them."""
VAE = "vae_folded.pt"
"""File of the VAE of a larger size."""
MARK = "encoded.json"
"""File in the work folder that says which world was encoded."""

Command = tuple[str, ...]
Run = Callable[[Sequence[Command], float], list[int]]
"""(commands, seconds) → exit statuses; runs them at the same time, and ends them at that time."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Options of one call."""

    out: Path
    """Folder for the averaged weights in half precision."""
    work: Path
    """Folder of data and checkpoints."""
    start: Path | None
    """Folder of an earlier call's weights, or None for the checkpoints in `work`."""
    parts: tuple[str, ...]
    """Priors to train, in this order."""
    objects: int
    """Rendered objects."""
    workers: int
    """Processes that render."""
    batch: int
    """Samples per step."""
    device: str
    """`cpu` or `cuda`."""
    steps: int | None
    """Steps of each prior at most, or None for as many as the time allows."""
    size: int = SMALL.image_size
    """Side of the rendered views, in pixels. Of a larger one only the 2D prior is trained, on the
    detailed world."""

    def command(self, part: str, *options: str) -> Command:
        """A call of the trainer."""
        python = (sys.executable, "-P", "-m", "xbind.mini.train")
        return (*python, part, "--work", str(self.work), *options)

    def preparation(self) -> tuple[tuple[Command, ...], ...]:
        """Commands before the training; those of one group can run at the same time."""
        count, views, workers = str(self.objects), str(VIEWS), str(self.workers)
        world: Command = ("--samples", count, "--views", views, "--workers", workers)
        encode = self.command("encode", "--device", self.device)
        if self.size != SMALL.image_size:
            world = (*world, "--size", str(self.size), "--detail", str(DETAILS[-1]))
            # what is unpacked depends on the size of the world that is there
            rendered = (self.command("world", *world), self.command("sounds"))
            return rendered, (self.command("unpack"),), (encode,)
        first: tuple[Command, ...] = (self.command("world", *world), self.command("sounds"))
        if not (self.work / "unclip.pt").exists():  # checkpoints of an earlier call are kept
            first = (*first, self.command("unpack"))
        return first, (encode,)

    def training(self, part: str, seconds: float, variant: Sequence[str]) -> Command:
        """The training of one prior for some seconds."""
        samples = UNLIMITED
        if self.steps is not None:
            samples = _samples_so_far(self.work, part) + self.steps * self.batch
        return self.command(
            part, "--samples", str(samples), "--minutes", f"{seconds / 60:.3f}", "--batch",
            str(self.batch), "--device", self.device, "--save-every", f"{SAVE_EVERY_S:g}",
            "--export", str(self.out), *variant,
        )  # fmt: skip


def _samples_so_far(work: Path, part: str) -> int:
    path = work / f"{part}.pt"
    if not path.exists():
        return 0
    return samples_seen(part, torch.load(path, map_location=CPU, weights_only=True))


def run_together(commands: Sequence[Command], seconds: float) -> list[int]:
    """Run commands at the same time, and kill those that are not done after some seconds."""
    end = time.monotonic() + seconds
    processes = [subprocess.Popen(command, start_new_session=True) for command in commands]
    try:
        for process in processes:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process)
    finally:
        for process in processes:
            _kill(process)
    return [process.returncode for process in processes]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command and the processes that render for it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def prepare(given: Timed, end: float, run: Run) -> bool:
    """Render and encode the world, unless the work folder has it; True if that succeeded."""
    world = {"objects": given.objects, "views": VIEWS}
    if given.size != SMALL.image_size:
        world["size"] = given.size
    mark, wanted = given.work / MARK, json.dumps(world)
    if mark.is_file() and mark.read_text() == wanted:
        return True
    mark.unlink(missing_ok=True)
    for group in given.preparation():
        if any(_reported(group, end - time.monotonic(), run)):
            return False
    mark.write_text(wanted)
    return True


def train_all(given: Timed, end: float, run: Run) -> list[str]:
    """Train each prior for its share of the time; the names of those that failed."""
    failed = []
    for place, part in enumerate(given.parts):
        rest = sum(SHARES[name] for name in given.parts[place:])
        slot_end = time.monotonic() + (end - time.monotonic()) * SHARES[part] / rest
        if not _train(given, part, slot_end, run):
            failed.append(part)
        log = given.work / f"{part}.jsonl"
        if log.is_file():
            _print(f"{part}:\n{log.read_text().rstrip()}")
    return failed


def _train(given: Timed, part: str, end: float, run: Run) -> bool:
    """Train a prior until a time; True if an attempt ended by itself with exit status 0.

    An attempt that is killed at its limit leaves no time for another one.
    """
    for attempt, variant in enumerate(VARIANTS if given.device == "cuda" else VARIANTS[:1]):
        left = end - time.monotonic()
        if left < START_S + LEAST_S:
            if attempt == 0:
                _print(json.dumps({"left out": part, "seconds left": round(left)}))
            return False
        command = given.training(part, left - START_S, variant)
        (status,) = _reported([command], left + GRACE_S, run)
        if status == 0:
            return True
    return False


def _reported(commands: Sequence[Command], seconds: float, run: Run) -> list[int]:
    start = time.monotonic()
    statuses = run(commands, seconds)
    spent = round(time.monotonic() - start, 1)
    for command, status in zip(commands, statuses, strict=True):
        row = {"command": " ".join(command[4:]), "status": status, "seconds of the group": spent}
        _print(json.dumps(row))
    return statuses


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -P -m xbind.mini.train.timed", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for the priors' weights")
    parser.add_argument(
        "--minutes", type=positive_number, default=MINUTES, help="default: %(default)s"
    )
    parser.add_argument(
        "--work", type=Path, help="folder of data and checkpoints to keep; default: a temporary one"
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="folder of an earlier call's weights, which replace those in --work",
    )
    parser.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--objects", type=positive, default=OBJECTS, help="default: %(default)s")
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="default: all")
    parser.add_argument("--batch", type=positive, default=BATCH, help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument(
        "--size", type=positive, choices=tuple(RESOLUTIONS), default=SMALL.image_size,
        help="of rendered views in px; above 64 the 2D prior alone is trained, on latents of the "
        "vae_folded.pt in --start",
    )  # fmt: skip
    parser.add_argument("--steps", type=positive, help="of each prior at most, for a trial")
    return parser


def main(argv: Sequence[str] | None = None, run: Run = run_together) -> None:
    """Parse the options, prepare, train; exit status 1 if a prior was not trained to the end."""
    began = time.monotonic()
    arguments = vars(_parser().parse_args(argv))
    end = began + 60 * arguments.pop("minutes")
    work, wanted = arguments.pop("work"), arguments.pop("parts")
    parts = tuple(part for part in SHARES if part in wanted)
    if arguments["size"] != SMALL.image_size:
        parts = ("unclip",)
    with tempfile.TemporaryDirectory(prefix="xbind-training-") as temporary:
        given = Timed(work=work or Path(temporary), parts=parts, **arguments)
        try:
            training_device(given.device)
            _check_folders(given)
            weights = _weights(given.start)
            vae = _vae(given)
        except XBindError as error:
            sys.exit(f"xbind.mini.train.timed: {error}")
        given.out.mkdir(parents=True, exist_ok=True)
        given.work.mkdir(parents=True, exist_ok=True)
        for path in vae:
            shutil.copy(path, given.work)
        if not prepare(given, end, run):
            sys.exit("xbind.mini.train.timed: the world was not rendered and encoded in time.")
        for path in weights:
            shutil.copy(path, given.work)
        failed = train_all(given, end, run)
    if failed:
        sys.exit(f"xbind.mini.train.timed: not trained to the end: {', '.join(failed)}.")


def _check_folders(given: Timed) -> None:
    """Refuse a work folder whose checkpoints the exported weights would replace.

    Raises:
        XBindError: `--work` is the folder of `--out` or `--start`.
    """
    for option, folder in (("--out", given.out), ("--start", given.start)):
        if folder is not None and folder.resolve() == given.work.resolve():
            raise XBindError(
                f"{option} {folder} is the folder of --work.\nGive {option} another folder."
            )


def _weights(folder: Path | None) -> list[Path]:
    """Weights of priors in the folder of an earlier call.

    Raises:
        XBindError: it has none.
    """
    if folder is None:
        return []
    found = [path for part in SHARES if (path := folder / f"{part}.pt").is_file()]
    if not found and not (folder / VAE).is_file():
        names = ", ".join(f"{part}.pt" for part in SHARES)
        raise XBindError(
            f"--start {folder} has none of {names}.\nGive the --out of an earlier call."
        )
    return found


def _vae(given: Timed) -> list[Path]:
    """The VAE of a larger size, which is not trained here.

    Raises:
        XBindError: there is none.
    """
    if given.size == SMALL.image_size:
        return []
    if given.start is not None and (given.start / VAE).is_file():
        return [given.start / VAE]
    if not (given.work / VAE).is_file():  # of a former call
        raise XBindError(
            f"--size {given.size} needs the {VAE} of a VAE for that size.\n"
            f"Train it on a CPU with  python -m xbind.mini.train vae,  and give its folder to "
            "--start."
        )
    return []


def _leave(*_: object) -> NoReturn:
    sys.exit("xbind.mini.train.timed: ended by SIGTERM.")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)  # so that the running commands are ended too
    main()
