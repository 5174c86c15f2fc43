"""The run that disturbed runs are compared with."""

import shutil
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.faults.commands import command, forked, load_networks_once
from tests.support.run_files import config_of, events_of

SMOKE = ("--preset", "smoke", "--engine", "eager")
DEFAULT = ("--engine", "onnxruntime")
PROMPTS = ("a red mug", "a blue chair")


def words_of(
    prompt: str, out: Path, *more: str, settings: tuple[str, ...] = SMOKE
) -> tuple[str, ...]:
    """The words that start a run."""
    return ("generate", prompt, *settings, "--out", str(out), *more)


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbed."""

    out: Path
    seconds: float

    def difference(self, out: Path) -> str | None:
        """How the run in another folder differs from this one; None if it does not."""
        if not (out / "report.html").is_file():
            return "wrong result: no report"
        for name in ("mesh.glb", "mesh.obj", "texture.png", "turntable.gif", "reference.png"):
            if not (out / name).is_file():
                return f"wrong result: no {name}"
            if (out / name).read_bytes() != (self.out / name).read_bytes():
                return f"wrong result: {name} differs"
        if config_of(out) != config_of(self.out):
            return "wrong result: config.json differs"
        if events_of(out) != events_of(self.out):
            return "wrong result: events.jsonl differs"
        return None

    def copy(self, to: Path) -> Path:
        """A copy of the folder."""
        shutil.rmtree(to, ignore_errors=True)
        return shutil.copytree(self.out, to)


@cache
def whole_run(folder: Path, prompt: str = PROMPTS[0], settings: tuple[str, ...] = SMOKE) -> Whole:
    """The undisturbed run of a prompt, made if it is not in `folder` yet."""
    load_networks_once()
    out = folder / prompt.replace(" ", "_")
    if settings != SMOKE:
        out = out.with_name(f"{out.name}-{'-'.join(settings[1::2])}")
    started = time.monotonic()
    words = words_of(prompt, out, settings=settings)
    if (out / "config.json").exists():
        words = ("generate", "--resume", "--out", str(out))
    ended = forked(command(*words))
    assert ended.status == 0, ended.err
    seconds, timing = time.monotonic() - started, folder / f"{out.name}.seconds"
    if not timing.exists():
        timing.write_text(str(seconds))
    return Whole(out, float(timing.read_text()))
