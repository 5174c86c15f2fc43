"""A run that starts where the Phase I of another one ended (Fig. 6 compares two such runs)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xbind.config.options import MODALITIES
from xbind.errors import XBindError
from xbind.run.checkpoints import Checkpoint, load_newest_checkpoint
from xbind.run.checks import EVENTS, read_run_config
from xbind.run.events import read_events
from xbind.run.json_files import Lines


class Phase1Mismatch(XBindError):
    """The other run cannot be gone on from."""


@dataclass(frozen=True, slots=True)
class Phase1:
    """What a run leaves to Phase II."""

    run: Path
    """Its folder."""
    state: Mapping[str, Any]
    """Of its last checkpoint."""
    events: Sequence[Mapping[str, Any]]
    """Its records of Phase I."""
    warnings: tuple[str, ...] = ()
    """What the user should be told."""

    def checkpoint(self) -> dict[str, Any]:
        """The state at the end of Phase I, as a checkpoint of a new run."""
        coarse = self.state["coarse"]
        seconds = {k: v for k, v in self.state["seconds"].items() if k in ("reference", "coarse")}
        return {
            "coarse": coarse,
            "condition": self.state["condition"],
            "generator": coarse["generator"],
            "seconds": seconds,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of all that Phase II goes on from: the same for the same Phase I."""
        digest = hashlib.sha256()
        _feed(digest.update, {key: self.state[key] for key in ("coarse", "condition")})
        return digest.hexdigest()


def _feed(update: Callable[[bytes], object], value: object) -> None:
    """Digest plain data and tensors, with their types and shapes."""
    if isinstance(value, Mapping):
        update(f"{{{len(value)}".encode())
        for key, item in value.items():
            update(f"{key!r}:".encode())
            _feed(update, item)
    elif isinstance(value, list | tuple):
        update(f"[{len(value)}".encode())
        for item in value:
            _feed(update, item)
    elif isinstance(value, Tensor):
        update(f"{value.dtype}{list(value.shape)}".encode())
        update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    else:
        update(f"{value!r};".encode())


def _content(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt with its files by what is in them: one picture may lie in two places."""
    given = {key: value for key, value in prompt.items() if value is not None}
    files = {*MODALITIES, "mask", "matting_weights"} - {"text"}
    options = {"exact_words": False, "ignore_unknown": False}  # older runs do not hold them
    return options | given | {key: _digest(Path(given[key])) for key in files & given.keys()}


def _digest(path: Path) -> str:
    """SHA-256 of a file; the path of one that is not there any more."""
    if not path.is_file():
        return str(path)
    return f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def read_phase1(run: Path, wanted: Mapping[str, Any]) -> Phase1:
    """Read the last checkpoint of `run`, which is not changed.

    Args:
        run: a folder of a run that has finished Phase I.
        wanted: the new run's `config.json`; all that Phase I depends on must be the same.

    Raises:
        RunError: `run` holds no run, or no whole checkpoint.
        Phase1Mismatch: Phase I is not finished, or was told something else.
    """
    found = read_run_config(run)
    if found.get("device") == "auto":  # a run that was started before there was CUDA
        found["device"] = "cpu"
    told = ("seed", "bundle_sha256", "prior_3d", "device", "precision")
    later = tuple(k for k in ("bundle_figures", "threads") if k in found)  # as of this version
    for key, ours, theirs in [
        ("prompt", _content(wanted["prompt"]), _content(found["prompt"])),
        *((k, wanted.get(k), found.get(k)) for k in (*told, *later)),
        *(
            (f"{k} of preset {wanted['preset']!r}", wanted["method"][k], found["method"].get(k))
            for k in ("reference", "coarse")
        ),
    ]:
        if theirs != ours:
            raise Phase1Mismatch(
                f"--from-phase1 goes on from the same Phase I, but {key} differs in {run}.\n"
                f"  there: {theirs}\n  here:  {ours}\n"
                f"Give the same settings, or leave out --from-phase1."
            )
    checkpoint, log = load_newest_checkpoint(run), read_events(run / EVENTS)
    if checkpoint.step < wanted["method"]["coarse"]["steps"]:
        raise Phase1Mismatch(
            f"The run in {run} has not finished Phase I.\n"
            f"Finish it with --resume, or leave out --from-phase1."
        )
    phase1 = _phase1(run, checkpoint, log)
    if wanted.get("phase1_sha256") not in (None, phase1.digest):
        raise Phase1Mismatch(
            f"The Phase I in {run} is not the one that this run was started from.\n"
            f"Start again with --overwrite, or put that run back."
        )
    return phase1


def _phase1(run: Path, checkpoint: Checkpoint, log: Lines) -> Phase1:
    warnings = ()
    if log.damage is not None:
        warnings = (
            f"{run / EVENTS}, line {log.damaged_line} is damaged ({log.damage}): the report's "
            f"curves of Phase I end there.",
        )
    coarse = [record for record in log.records if record.get("phase") == "coarse"]
    return Phase1(run, checkpoint.state, coarse, warnings)
