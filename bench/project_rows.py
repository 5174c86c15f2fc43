"""Projections as records, and what would change them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from xbind.bench.counted import CountedBundle
from xbind.bench.gpus import Gpu
from xbind.bench.projection import Assumptions, Projection, project
from xbind.config.presets import GuidanceConfig, MethodConfig

GOAL_SECONDS = 180
"""What an object of `fast` shall take on an RTX 4090."""
GOAL_BYTES = 12e9
"""What it shall need of its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionRow:
    """One preset on one card: one line of JSON. Nothing in it was measured on that card."""

    kind: str = "projection"
    preset: str
    change: str
    """What was changed in the preset; empty for the preset itself."""
    gpu: str
    seconds: float
    """One object, loading excluded."""
    reference_seconds: float
    files_seconds: float
    phase_seconds: dict[str, float]
    iteration_ms: dict[str, float]
    step_ms: dict[str, dict[str, float]]
    """Phase → guidance step → time of a call."""
    step_tflop: dict[str, dict[str, float]]
    half_ms: dict[str, float]
    """Phase → the differentiable half of an iteration."""
    memory_bytes: float
    """At the worst moment of the run."""
    part_bytes: dict[str, float]
    """Part of the run → its worst moment; a part's engines are open only while it lasts."""
    weight_bytes: dict[str, float]
    """Part of the run → of its engines."""
    card_bytes: float
    assumptions: dict[str, float]

    @classmethod
    def of(
        cls, preset: str, gpu: Gpu, found: Projection, assumed: Assumptions, change: str = ""
    ) -> "ProjectionRow":
        """The record of a projection."""
        phases = found.phases
        return cls(
            preset=preset, change=change, gpu=gpu.name, seconds=found.seconds,
            reference_seconds=found.reference_seconds, files_seconds=found.files_seconds,
            phase_seconds={p.name: p.seconds for p in phases},
            iteration_ms={p.name: 1e3 * p.iteration_seconds for p in phases},
            step_ms={p.name: {k: 1e3 * s for k, (_, s) in p.steps.items()} for p in phases},
            step_tflop={p.name: {k: f for k, (f, _) in p.steps.items()} for p in phases},
            half_ms={p.name: 1e3 * p.half_seconds for p in phases},
            memory_bytes=found.memory_bytes, part_bytes=found.part_bytes,
            weight_bytes=found.weight_bytes, card_bytes=gpu.memory_bytes,
            assumptions=asdict(assumed),
        )  # fmt: skip

    @property
    def worst_part(self) -> str:
        """The part of the run that needs most memory."""
        return max(self.part_bytes, key=lambda part: self.part_bytes[part])

    @property
    def meets_goal(self) -> bool:
        """Whether it is as fast and as small as `fast` on an RTX 4090 shall be."""
        return self.seconds <= GOAL_SECONDS and self.memory_bytes <= GOAL_BYTES


def levers_of(
    preset: str, method: MethodConfig, bundle: CountedBundle, gpu: Gpu, assumed: Assumptions
) -> Iterator[ProjectionRow]:
    """What changes that a preset allows would do, and how many iterations there is time for.

    Args:
        preset: its name.
        method: its numbers.
        bundle: with TAESD.
        gpu: the card.
        assumed: everything that was not counted.
    """
    plain = bundle.without_taesd()
    yield ProjectionRow.of(
        preset, gpu, project(method, bundle, gpu, assumed), assumed, "x̂ by TAESD"
    )
    changed = method
    for change, apply in (
        ("no image term", _without_image_term),
        ("no MS loss in Phase I", _without_ms),
    ):
        alone = project(apply(method), plain, gpu, assumed)
        yield ProjectionRow.of(preset, gpu, alone, assumed, change)
        changed = apply(changed)
    for words, networks, base in (
        ("", plain, method),
        ("TAESD, and ", bundle, method),
        ("neither term, and ", plain, changed),
    ):
        share = iterations_share(project(base, networks, gpu, assumed))
        fewer = with_share_of_steps(base, share)
        counts = ", ".join(str(p.steps) for p in (fewer.coarse, fewer.geometry, fewer.texture))
        yield ProjectionRow.of(
            preset, gpu, project(fewer, networks, gpu, assumed), assumed,
            f"{words}{share:.0%} of the iterations: {counts}",
        )  # fmt: skip


def iterations_share(found: Projection) -> float:
    """The share of a preset's iterations that fits into the goal."""
    fixed = found.reference_seconds + found.files_seconds
    loops = sum(phase.seconds for phase in found.phases)
    return min(max(GOAL_SECONDS - fixed, 0.0) / loops, 1.0)


def with_share_of_steps(method: MethodConfig, share: float) -> MethodConfig:
    """A method with fewer iterations in every phase, rounded down to tens."""

    def fewer(steps: int) -> int:
        return max(int(share * steps) // 10 * 10, 1)

    return replace(
        method,
        coarse=replace(method.coarse, steps=fewer(method.coarse.steps)),
        geometry=replace(method.geometry, steps=fewer(method.geometry.steps)),
        texture=replace(method.texture, steps=fewer(method.texture.steps)),
    )


def _without_image_term(method: MethodConfig) -> MethodConfig:
    def bare(guidance: GuidanceConfig) -> GuidanceConfig:
        return replace(guidance, w_img=0.0, w_img_3d=0.0)

    return replace(
        method,
        coarse=replace(method.coarse, guidance=bare(method.coarse.guidance)),
        geometry=replace(method.geometry, guidance=bare(method.geometry.guidance)),
        texture=replace(method.texture, guidance=bare(method.texture.guidance)),
    )


def _without_ms(method: MethodConfig) -> MethodConfig:
    guidance = replace(method.coarse.guidance, w_ms=0.0)
    return replace(method, coarse=replace(method.coarse, guidance=guidance))
