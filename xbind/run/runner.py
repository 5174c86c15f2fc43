"""Algorithm 1 with what surrounds it in a run: records, previews, checkpoints."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from xbind.algorithm.algorithm1 import algorithm1
from xbind.algorithm.iteration import Iteration, Phase, PhaseStarted, check_finite, save_phase
from xbind.algorithm.surface import TexturedMesh
from xbind.config.presets import MethodConfig
from xbind.networks.runtime import RunNetworks
from xbind.run.folder import RunFolder
from xbind.run.progress import Reporter, StepRecord
from xbind.run.state import RunState, add_seconds


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs Algorithm 1 from the state of a run, and keeps that state and the folder up to date."""

    method: MethodConfig
    folder: RunFolder
    reporter: Reporter
    state: RunState

    def optimise(
        self,
        networks: RunNetworks,
        seed: int,
        phase_started: Callable[[Phase], None] = lambda _: None,
    ) -> TexturedMesh:
        """Do the iterations that are still to do.

        Args:
            networks: the frozen networks; unloaded at the end, and if the run is interrupted.
            seed: of the initial weights.
            phase_started: called when a phase begins.

        Raises:
            EmptySurface: nothing is left of the object.
            NotFinite: a loss term or a parameter is NaN or infinite; the checkpoints before stay.
            DiskError: a file cannot be written; the checkpoints before stay.
        """
        state = self.state
        events = algorithm1(
            self.method, state.condition, networks, state.generator, seed, dict(state.phases)
        )
        with closing(events):
            since = time.monotonic()
            for event in events:
                match event:
                    case TexturedMesh():
                        return event
                    case PhaseStarted(phase, step):
                        add_seconds(state.seconds, phase.name, since)
                        self.reporter.phase_started(phase.name, phase.steps, step)
                        phase_started(phase)
                    case Iteration():
                        add_seconds(state.seconds, event.phase.name, since)
                        self._after(event)
                since = time.monotonic()  # what the runner does itself is not counted
        raise AssertionError("Algorithm 1 ended without a mesh")

    def save(self) -> None:
        """Write a checkpoint."""
        self.folder.save_checkpoint(self.state.done, self.state.record())

    def _after(self, iteration: Iteration) -> None:
        """Record an iteration; preview and checkpoint as often as the method says, and at last."""
        phase, step, terms = iteration.phase, iteration.step, iteration.terms
        self.folder.events.append({"phase": phase.name, "step": step, **terms})
        self.reporter.step(StepRecord(phase=phase.name, step=step, terms=terms))
        if self._is_due(phase, step, self.method.preview_every):
            name = f"previews/{phase.name}_{step:05d}.png"
            self.reporter.preview(self.folder.save_image(name, phase.preview()))
        if self._is_due(phase, step, self.method.checkpoint_every):
            check_finite(phase, step)
            self.state.phases[phase.name] = save_phase(phase, step, self.state.generator)
            self.save()

    @staticmethod
    def _is_due(phase: Phase, step: int, every: int) -> bool:
        return step % every == 0 or step == phase.steps
