"""Whole runs, from prompt to files, each variant in its own process.

    python -P -m xbind.bench.whole JSON

is what `xbind-bench --whole` starts: only so is the peak memory a variant's own.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from xbind import pipeline
from xbind.bench.bench_phases import (
    Measurement,
    Prepared,
    Told,
    run_config,
    variants_of,
    with_size,
)
from xbind.bench.timing import describe_commit, describe_versions, device_name
from xbind.bench.variants import BenchError
from xbind.config.presets import preset_named
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.run.outputs import write_outputs as write_files
from xbind.run.progress import peak_memory_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeRow:
    """Whole run; a line of JSON."""

    kind: str = "whole"
    preset: str
    form: str
    size: int | None
    """Side of the views, where it was chosen."""
    seconds: float
    """From the prompt to the files; imports and engines that are built once are not in it."""
    parts: dict[str, float]
    """Seconds of the reference view, each phase, and the files."""
    peak_bytes: int
    """Most main memory of the process."""
    threads: int
    device: str
    versions: str
    commit: str


class Stopwatch(Told):
    """A reporter that notes when each part of a run begins."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._part, self._since = "reference", time.monotonic()
        self.parts: dict[str, float] = {}

    def phase_started(self, name: str, steps: int, done: int = 0) -> None:
        """The part before it ends."""
        self.start(name)

    def start(self, name: str) -> None:
        """End the part in hand, begin another."""
        now = time.monotonic()
        self.parts[self._part] = self.parts.get(self._part, 0.0) + now - self._since
        self._part, self._since = name, now


def run_whole(wanted: Measurement, preset: str, size: int | None, name: str) -> WholeRow:
    """Runs one variant in a new process.

    Raises:
        BenchError: it failed; the message ends with what it said.
    """
    asked = {"wanted": asdict(wanted), "preset": preset, "size": size, "name": name}
    command = [sys.executable, "-P", "-m", "xbind.bench.whole", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"The whole run of {name} failed:\n{done.stderr.strip()}")
    return WholeRow(**json.loads(done.stdout.splitlines()[-1]))


def main(argv: Sequence[str]) -> None:
    """Run what the argument says; print the record."""
    asked: dict[str, Any] = json.loads(argv[0])
    wanted = Measurement(**{k: _tuple(v) for k, v in asked["wanted"].items()})
    torch.set_num_threads(wanted.threads)
    method = with_size(preset_named(asked["preset"]), asked["size"])
    bundle = load_bundle(load_manifest(wanted.bundle))
    (variant,), bundle = variants_of([asked["name"]], method, bundle, wanted, lambda _: None)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.enter_context(patch.object(pipeline, "method_named", lambda *_: method))
        stack.enter_context(variant.active())
        watch = Stopwatch()
        started = time.monotonic()

        def timed_files(*args: Any, **kwargs: Any) -> list[Path]:  # noqa: ANN401
            watch.start("files")
            return write_files(*args, **kwargs)

        stack.enter_context(patch.object(pipeline, "write_outputs", timed_files))
        device = torch.device(wanted.device)
        networks = Prepared(bundle, variant.steps, variant.runner, variant.name, device)
        pipeline.generate(run_config(wanted, Path(folder) / "run"), watch, networks)
        watch.start("")
        seconds = time.monotonic() - started
    row = WholeRow(
        preset=asked["preset"], form=asked["name"], size=asked["size"], seconds=seconds,
        parts=watch.parts, peak_bytes=peak_memory_bytes(), threads=wanted.threads,
        device=device_name(torch.device(wanted.device)), versions=describe_versions(),
        commit=describe_commit(),
    )  # fmt: skip
    sys.stdout.write(json.dumps(asdict(row)) + "\n")


def _tuple(value: Any) -> Any:  # noqa: ANN401
    return tuple(value) if isinstance(value, list) else value


if __name__ == "__main__":
    main(sys.argv[1:])
