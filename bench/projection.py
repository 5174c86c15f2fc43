"""A model of what a GPU would take for one object with the public networks. Not a measurement.

Every operation of a guidance step that computes (matrix products, convolutions, attention, norms,
softmax) takes the longest of three times: its arithmetic, its traffic, and what starting it takes.
All others are assumed to be fused into these. The differentiable half is the work of its operators
by traffic, and its launches.
"""

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
from xbind.config.presets import (
    CoarseConfig,
    FieldConfig,
    GeometryConfig,
    MethodConfig,
    TextureConfig,
)
from xbind.memory.scene import field_parameters
from xbind.networks.graphs import PARTS, graphs_of_part, requests_of_phase

HALF_BYTES = 0.5
"""float16 for the float32 that was counted."""
_ALONE = ("norm", "softmax")
"""Operations without matrix arithmetic that are kernels of their own."""
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
    weight_bytes: dict[str, float]
    """Part of the run → of its engines in float16, each with its own; they go with their part."""
    activation_bytes: dict[str, float]
    """Part of the run → the largest of any of its graphs, and what the differentiable half keeps
    for its backward pass."""
    context_bytes: float

    @property
    def seconds(self) -> float:
        """Loading excluded."""
        phases = sum(phase.seconds for phase in self.phases)
        return self.reference_seconds + phases + self.files_seconds

    @property
    def part_bytes(self) -> dict[str, float]:
        """Part of the run → its worst moment."""
        return {
            part: self.context_bytes + weights + self.activation_bytes[part]
            for part, weights in self.weight_bytes.items()
        }

    @property
    def memory_bytes(self) -> float:
        """At the worst moment of the run."""
        return max(self.part_bytes.values())


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
    work = {
        part: [bundle.count(graph) for graph in graphs_of_part(method, bundle.manifest, part)]
        for part in PARTS
    }
    phases = tuple(_phase(name, config, bundle, gpu, assumed) for name, config in _phases(method))
    drawn, *_ = work["reference"]
    # what the forward pass writes is about a third of the traffic of both, and kept for the other
    kept = {name: half_bytes(config, assumed) / 3 for name, config in _phases(method)}
    return Projection(
        reference_seconds=method.reference.steps * step_seconds(drawn, gpu, assumed),
        phases=phases,
        files_seconds=assumed.files,
        weight_bytes={
            part: HALF_BYTES * sum(graph.weight_bytes for graph in graphs)
            for part, graphs in work.items()
        },
        activation_bytes={
            part: HALF_BYTES * max(graph.activation_bytes for graph in graphs) + kept.get(part, 0.0)
            for part, graphs in work.items()
        },
        context_bytes=assumed.context_bytes,
    )


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
                march_work(samples, pixels, config.occupancy.resolution**3),
                _field(config.field, samples),
                composite_work(samples, pixels),
                _field(config.field, 6 * covered if config.w_nv > 0 else 0),
                _optimiser(field_parameters(config.field), state=2),
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
                *_surface(config, pixels, assumed),
                _field(config.field, covered),
                _optimiser(field_parameters(config.field), state=2),
            ]
    return sum(work.bytes for work in done)


def _augment(config: AnyPhase) -> Work:
    images = config.views * (2 * config.guidance.ms_augmentations + 1)
    pixels = images * CLIP_SIDE**2
    return augment_work(3 * config.views * config.size**2, pixels, pixels)  # bytes alone count


def _field(field: FieldConfig, points: int) -> Work:
    levels, entries = len(field.resolutions), 2**field.log2_entries
    table = torch.empty(levels, entries, field.features, device="meta")
    hidden = torch.empty(field.hidden, field.encoded, device="meta")
    output = torch.empty(4, field.hidden, device="meta")
    work = grid_mlp_work(points, table, hidden, output)
    # hidden layers beyond the first, and a second head, read and write in both passes
    more = len(field.heads) * field.hidden_layers - 1
    weights = field_parameters(field) - table.numel() - hidden.numel() - output.numel()
    return Work(work.bytes + 16 * points * more * field.hidden, work.flops + 6 * points * weights)


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
