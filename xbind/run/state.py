"""The state of a run: all that a checkpoint holds, and all that a resumed run goes on from."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from xbind.algorithm.iteration import PhaseState
from xbind.algorithm.supervision import Condition
from xbind.run.checks import RunError


@dataclass(slots=True)
class RunState:
    """State of a run."""

    condition: Condition
    """Condition of its supervision, drawn once."""
    generator: torch.Generator
    """Source of every draw of an iteration, on the device of the run."""
    phases: dict[str, PhaseState] = field(default_factory=dict)
    """Phase → its state when it was last saved."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → its wall time, over all processes that worked on the run."""

    @property
    def done(self) -> int:
        """Iterations of the whole run that are saved in `phases`."""
        return sum(phase.step for phase in self.phases.values())

    def record(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {
            "condition": self.condition.state(),
            "generator": self.generator.get_state(),
            "phases": {
                name: {
                    "step": phase.step,
                    "module": phase.module,
                    "optimizer": phase.optimizer,
                    "generator": phase.generator,
                }
                for name, phase in self.phases.items()
            },
            "seconds": dict(self.seconds),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], device: torch.device) -> "RunState":
        """Read back `record`, to a device.

        Raises:
            RunError: it is the record of another version of xbind.
        """
        generator = torch.Generator(device)
        try:
            generator.set_state(record["generator"])
            return cls(
                Condition.from_state(record["condition"], device),
                generator,
                {name: PhaseState(**phase) for name, phase in record["phases"].items()},
                dict(record["seconds"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"The checkpoint of this run is that of another version of xbind ({error!r}).\n"
                f"Continue with the version that wrote it, or start again with --overwrite."
            ) from error

    def after_phase1(self) -> "RunState":
        """The state at the end of Phase I, which must be done."""
        coarse = self.phases["coarse"]
        generator = torch.Generator(self.generator.device)
        generator.set_state(coarse.generator)
        seconds = {k: v for k, v in self.seconds.items() if k in ("reference", "coarse")}
        return RunState(self.condition, generator, {"coarse": coarse}, seconds)


def add_seconds(seconds: dict[str, float], stage: str, since: float) -> None:
    """Add the time since a reading of `time.monotonic()` to that of a stage."""
    seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - since
