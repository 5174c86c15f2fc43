"""A model of what a GPU would take for one object with the public networks. Not a measurement.

Every operation of a guidance step that computes (matrix products, convolutions, attention, norms,
softmax) takes the longest of three times: its arithmetic, its traffic, and what starting it takes.
All others are assumed to be fused into these. The differentiable half is the work of its operators
by traffic, and its launches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import torch

from xbind.bench.counted import CountedBundle, StepWork
from xbind.bench.gpus import Gpu
from xbind.bench.operator_work import (
    antialias_work,
    augment_work,
    composite_work,
    grid_mlp_work,
    interpolate_work,
    march_work,
    marching_work,
    rasterize_work,
)
from xbind.bench.timing import Work
from xbind.graphs import GraphRequest, requests_of_phase, requests_of_run
from xbind.nerf.field import FieldConfig
from xbind.nerf.occupancy import OccupancyConfig
from xbind.presets import CoarseConfig, GeometryConfig, MethodConfig, TextureConfig

HALF_BYTES = 0.5
"""float16 for the float32 that was counted."""
_ALONE = ("norm", "softmax")
"""Operations without matrix arithmetic that are kernels of their own."""
_ONCE = ("zero123/image_encoder", "bind")
"""Networks that only the start of a run needs, beside the engine that draws the reference view."""
CLIP_SIDE = 224
"""Side of the images of CLIP ViT-H/14, in pixels."""
AnyPhase = CoarseConfig | GeometryConfig | TextureConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What the model takes for granted; every one is printed."""

    arithmetic: float = field(default=0.45, metadata={"unit": "of the peak"})
    """share of the peak arithmetic that matrix products and convolutions reach in float16"""
    bandwidth: float = field(default=0.7, metadata={"unit": "of the peak"})
    """share of the bandwidth that guidance steps reach"""
    gather: float = field(default=0.25, metadata={"unit": "of the peak"})
    """share of the bandwidth that the hash grid, compositing and rasterising reach"""
    start: float = field(default=3e-6, metadata={"unit": "s"})
    """least time of a kernel in an engine"""
    launch: float = field(default=8e-6, metadata={"unit": "s"})
    """time of an operation that Python starts, in the differentiable half"""
    launches: int = field(default=800, metadata={"unit": "per iteration"})
    """of those: forward, backward and optimiser; 320 to 780 were counted on a CPU"""
    samples_per_ray: float = field(default=48.0, metadata={"unit": "samples"})
    """that the occupancy grid leaves in Phase I"""
    covered: float = field(default=0.35, metadata={"unit": "of the view"})
    """that the object covers"""
    faces: float = field(default=37.0, metadata={"unit": "per resolution²"})
    """triangles of the mesh, by the cells along a side of the tetrahedral grid: those of a ball"""
    files: float = field(default=8.0, metadata={"unit": "s"})
    """unwrapping, baking, turntable and files, on the CPU"""
    context_bytes: float = field(default=0.8 * 2**30, metadata={"unit": "bytes"})
    """held by CUDA and the engine's runtime"""

    def lines(self) -> list[str]:
        """One line each."""
        return [
            f"{item.name} {getattr(self, item.name):g} {item.metadata['unit']}"
            for item in fields(self)
        ]


@dataclass(frozen=True, slots=True)
class PhaseProjection:
    """One phase."""

    name: str
    iterations: int
    steps: dict[str, tuple[float, float]]
    """Guidance step → TFLOP and seconds of one call."""
    half_seconds: float
    """The differentiable half of one iteration."""

    @property
    def iteration_seconds(self) -> float:
        """One iteration."""
        return self.half_seconds + sum(seconds for _, seconds in self.steps.values())

    @property
    def seconds(self) -> float:
        """The whole phase."""
        return self.iterations * self.iteration_seconds


@dataclass(frozen=True, slots=True)
class Projection:
    """One object."""

    reference_seconds: float
    phases: tuple[PhaseProjection, ...]
    files_seconds: float
    weight_bytes: float
    """Of all engines of the run, in float16: each holds its own, and a run opens them all."""
    phase_weight_bytes: float
    """Of the engines of the phase that has most: what would do if each phase opened its own."""
    once_bytes: float
    """Of the encoders that only the start needs; they can be gone when the loops begin."""
    activation_bytes: float
    """The largest of any step, and what the differentiable half keeps for its backward pass."""
    context_bytes: float

    @property
    def seconds(self) -> float:
        """Loading excluded."""
        phases = sum(phase.seconds for phase in self.phases)
        return self.reference_seconds + phases + self.files_seconds

    @property
    def memory_bytes(self) -> float:
        """In the loops, as a run is: with all its engines open."""
        return self.weight_bytes + self.activation_bytes + self.context_bytes

    @property
    def least_memory_bytes(self) -> float:
        """In the loops, if only the engines of the phase in hand were open."""
        return self.phase_weight_bytes + self.activation_bytes + self.context_bytes


def step_seconds(work: StepWork, gpu: Gpu, assumed: Assumptions) -> float:
    """One call of a guidance step in float16."""
    seconds = 0.0
    for op in work.ops:
        if op.flops > 0 or any(name in op.name for name in _ALONE):
            seconds += max(
                op.flops / (assumed.arithmetic * gpu.half_flops),
                HALF_BYTES * op.bytes / (assumed.bandwidth * gpu.bytes_per_second),
                assumed.start,
            )
    return seconds


def project(
    method: MethodConfig, bundle: CountedBundle, gpu: Gpu, assumed: Assumptions
) -> Projection:
    """Time and memory of one object.

    Args:
        method: the preset.
        bundle: the networks.
        gpu: the card.
        assumed: everything that was not counted.
    """
    reference, *steps = requests_of_run(method, bundle.manifest)
    drawn = bundle.count(reference)
    phases = tuple(_phase(name, config, bundle, gpu, assumed) for name, config in _phases(method))
    activations = max(HALF_BYTES * bundle.count(step).activation_bytes for step in steps)
    # what the forward pass writes is about a third of the traffic of both, and kept for the other
    kept = max(half_bytes(config, assumed) / 3 for _, config in _phases(method))
    return Projection(
        reference_seconds=method.reference.steps * step_seconds(drawn, gpu, assumed),
        phases=phases,
        files_seconds=assumed.files,
        weight_bytes=_weight_bytes([reference, *steps], bundle),
        phase_weight_bytes=max(
            _weight_bytes(requests_of_phase(config, bundle.manifest), bundle)
            for _, config in _phases(method)
        ),
        once_bytes=2.0 * sum(n for k, n in bundle.weights.items() if k in _ONCE),
        activation_bytes=activations + kept,
        context_bytes=assumed.context_bytes,
    )


def _weight_bytes(requests: Sequence[GraphRequest], bundle: CountedBundle) -> float:
    return HALF_BYTES * sum(bundle.count(request).weight_bytes for request in requests)


def _phases(method: MethodConfig) -> tuple[tuple[str, AnyPhase], ...]:
    return (
        ("coarse", method.coarse), ("geometry", method.geometry), ("texture", method.texture)
    )  # fmt: skip


def _phase(
    name: str, config: AnyPhase, bundle: CountedBundle, gpu: Gpu, assumed: Assumptions
) -> PhaseProjection:
    steps = {}
    for request in requests_of_phase(config, bundle.manifest):
        work = bundle.count(request)
        steps[request.name] = (work.flops / 1e12, step_seconds(work, gpu, assumed))
    return PhaseProjection(name, config.steps, steps, half_seconds(config, gpu, assumed))


def half_seconds(config: AnyPhase, gpu: Gpu, assumed: Assumptions) -> float:
    """The differentiable half of one iteration: traffic, and launches."""
    moved = half_bytes(config, assumed) / (assumed.gather * gpu.bytes_per_second)
    return moved + assumed.launches * assumed.launch


def half_bytes(config: AnyPhase, assumed: Assumptions) -> float:
    """Traffic of the differentiable half of one iteration, both passes and optimiser."""
    guidance = config.guidance
    looks = 1 / guidance.reference_every if max(guidance.w_rgb, guidance.w_mask) > 0 else 0.0
    pixels = round((config.views + looks) * config.size**2)
    covered = round(assumed.covered * pixels)
    done = [_augment(config)] if guidance.w_ms > 0 else []
    match config:
        case CoarseConfig():
            samples = round(assumed.samples_per_ray * pixels)
            done += [
                march_work(samples, pixels, OccupancyConfig().resolution ** 3),
                _field(samples),
                composite_work(samples, pixels),
                _field(6 * covered if config.w_nv > 0 else 0),
                _optimiser(_numbers(), state=2),
            ]
        case GeometryConfig():
            # a body-centred cubic grid: 12 tetrahedra and 2 vertices per cell
            cells = config.resolution**3
            done += [
                marching_work(12 * cells, 2 * cells, *_mesh(config.resolution, assumed)),
                *_surface(config, pixels, assumed),
                _optimiser(4 * 2 * cells, state=4),
            ]
        case TextureConfig():
            done += [
                *_surface(config, pixels, assumed), _field(covered), _optimiser(_numbers(), state=2)
            ]  # fmt: skip
    return sum(work.bytes for work in done)


def _augment(config: AnyPhase) -> Work:
    images = config.views * (2 * config.guidance.ms_augmentations + 1)
    return augment_work(3 * config.views * config.size**2, images * CLIP_SIDE**2)


def _field(points: int) -> Work:
    field = FieldConfig()
    encoded = field.levels * field.features
    table = torch.empty(field.levels, 2**field.log2_entries, field.features, device="meta")
    hidden = torch.empty(field.hidden, encoded, device="meta")
    output = torch.empty(4, field.hidden, device="meta")
    return grid_mlp_work(points, table, hidden, output)


def _numbers() -> int:
    """Parameters of the field."""
    field = FieldConfig()
    return field.levels * 2**field.log2_entries * field.features


def _optimiser(numbers: int, *, state: int) -> Work:
    """Parameters, gradients and `state` numbers for each read; all but gradients written."""
    return Work(4.0 * numbers * (3 + 2 * state), 0.0)


def _mesh(resolution: int, assumed: Assumptions) -> tuple[int, int]:
    faces = round(assumed.faces * resolution**2)
    return faces, faces // 2


def _surface(
    config: GeometryConfig | TextureConfig, pixels: int, assumed: Assumptions
) -> list[Work]:
    """Rasterised, interpolated twice (positions, and normals or colours), antialiased."""
    resolution = config.resolution if isinstance(config, GeometryConfig) else 128
    faces, vertices = _mesh(resolution, assumed)
    return [
        rasterize_work(faces, vertices, pixels),
        interpolate_work(faces, vertices, pixels),
        interpolate_work(faces, vertices, pixels),
        antialias_work(vertices, pixels),
    ]
