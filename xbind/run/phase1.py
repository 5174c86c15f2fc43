"""A run that starts where the Phase I of another one ended (Fig. 6 compares two such runs)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xbind.config.options import MODALITIES
from xbind.errors import XBindError
from xbind.files import sha256_file
from xbind.run.events import read_events
from xbind.run.folder import load_newest_checkpoint, read_run_config
from xbind.run.state import RunState


class Phase1Mismatch(XBindError):
    """The other run cannot be gone on from."""


@dataclass(frozen=True, slots=True)
class Phase1:
    """What a run leaves to Phase II."""

    run: Path
    """Its folder."""
    state: RunState
    """The state at the end of its Phase I."""

    def events(self) -> list[dict[str, Any]]:
        """Its records of Phase I."""
        return [e for e in read_events(self.run / "events.jsonl") if e["phase"] == "coarse"]

    def prompt_record(self) -> dict[str, Any]:
        """What its prompt was understood as, as `config.json` has it; empty if that is unknown."""
        understood = read_run_config(self.run).get("understood")
        return {"understood": understood} if understood else {}


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
    told = ("seed", "bundle_sha256", "prior_3d", "device", "precision")
    for key, ours, theirs in [
        ("prompt", _content(wanted["prompt"]), _content(found["prompt"])),
        *((k, wanted[k], found.get(k)) for k in told),
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
    checkpoint = load_newest_checkpoint(run)
    if checkpoint.step < wanted["method"]["coarse"]["steps"]:
        raise Phase1Mismatch(
            f"The run in {run} has not finished Phase I.\n"
            f"Finish it with --resume, or leave out --from-phase1."
        )
    state = RunState.from_record(checkpoint.state, torch.device(wanted["device"]))
    return Phase1(run, state.after_phase1())
