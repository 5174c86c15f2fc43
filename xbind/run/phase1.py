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
from xbind.files import sha256_file
from xbind.run.checkpoints import load_newest_checkpoint
from xbind.run.checks import EVENTS, read_run_config
from xbind.run.events import read_events
from xbind.run.json_files import Lines
from xbind.run.state import RunState


class Phase1Mismatch(XBindError):
    """The other run cannot be gone on from."""


@dataclass(frozen=True, slots=True)
class Phase1:
    """State of a run at the end of Phase I."""

    run: Path
    """Its folder."""
    state: RunState
    """The state at the end of its Phase I."""
    events: Sequence[Mapping[str, Any]]
    """Its records of Phase I."""
    warnings: tuple[str, ...] = ()
    """Notices for the user."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that Phase II goes on from: the same for the same Phase I."""
        record, digest = self.state.record(), hashlib.sha256()
        _feed(digest.update, {key: record[key] for key in ("condition", "phases")})
        return digest.hexdigest()

    def prompt_record(self) -> dict[str, Any]:
        """Returns the interpretation of its prompt, as in `config.json`; empty if unknown."""
        understood = read_run_config(self.run).get("understood")
        return {"understood": understood} if understood else {}


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
    return given | {key: _digest(Path(given[key])) for key in files & given.keys()}


def _digest(path: Path) -> str:
    """SHA-256 of a file; the path of one that is not there any more."""
    if not path.is_file():
        return str(path)
    return f"SHA-256 {sha256_file(path)}"


def _light_of_phase1(settings: Mapping[str, Any]) -> object:
    """The bundle's light in a run's `config.json`, if its Phase I shows it."""
    shading = settings["method"].get("coarse", {}).get("shading", {})
    return settings.get("light") if shading.get("light") == "bundle" else None


def read_phase1(run: Path, wanted: Mapping[str, Any]) -> Phase1:
    """Read the last checkpoint of `run`, which is not changed.

    Args:
        run: a folder of a run that has finished Phase I.
        wanted: the new run's `config.json`; all that Phase I depends on must be the same.

    Raises:
        RunError: `run` holds no run, or no whole checkpoint of this version.
        Phase1Mismatch: Phase I is not finished, or was told something else.
    """
    found = read_run_config(run)
    told = (
        *("seed", "bundle_sha256", "bundle_figures", "prior_3d", "device", "precision"),
        *("prior_2d", "threads"),
    )
    for key, ours, theirs in [
        ("prompt", _content(wanted["prompt"]), _content(found["prompt"])),
        *((k, wanted.get(k), found.get(k)) for k in told),
        ("light", _light_of_phase1(wanted), _light_of_phase1(found)),
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
    state = RunState.from_record(checkpoint.state, torch.device(wanted["device"]))
    coarse = [record for record in log.records if record.get("phase") == "coarse"]
    phase1 = Phase1(run, state.after_phase1(), coarse, _damage(run, log))
    if wanted.get("phase1_sha256") not in (None, phase1.digest):
        raise Phase1Mismatch(
            f"The Phase I in {run} is not the one that this run was started from.\n"
            f"Start again with --overwrite, or put that run back."
        )
    return phase1


def _damage(run: Path, log: Lines) -> tuple[str, ...]:
    if log.damage is None:
        return ()
    return (
        f"{run / EVENTS}, line {log.damaged_line} is damaged ({log.damage}): the report's curves "
        f"of Phase I end there.",
    )
