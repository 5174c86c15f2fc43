"""Cost of the differentiable part of an iteration against each of its sizes.

The phases' own iterations, with guidance steps that answer at once: a frozen network costs the same
whatever the render's resolution, the grid or the mesh, and would hide them. Points take turns.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor

from xbind.algorithm.iteration import Phase, advance
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.reference_view import ReferenceView
from xbind.algorithm.stereo_condition import StereoCondition
from xbind.algorithm.supervision import Condition, Supervision
from xbind.algorithm.surface_phase import SurfacePhase, geometry_phase, texture_phase
from xbind.bench.memory import peak_bytes_of
from xbind.bench.timing import (
    Clock,
    describe_commit,
    describe_versions,
    device_name,
    elapsed_ms,
)
from xbind.bench.variants import Steps
from xbind.config.presets import CoarseConfig, GeometryConfig, TextureConfig
from xbind.config.scene import level_resolutions
from xbind.losses.step import GuidanceStep
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import eager_steps
from xbind.scene.cameras import orbit
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.nerf.field import HashField

CPU = torch.device("cpu")
LINEAR = 1.15
"""Largest exponent that counts as linear: the rest is for noise and for caches that overflow."""
BALL = 0.7
"""Radius of the surface that Phases II and III are timed on, in scene units."""


@dataclass(frozen=True, slots=True)
class Point:
    """Measurement of a phase at one size."""

    x: float
    phase: Phase


@dataclass(frozen=True, slots=True)
class Curve:
    """Measurements of a phase at several values of one size."""

    knob: str
    unit: str
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """Name of the phase and of the size that varies."""
        return f"{self.points[0].phase.name}: {self.knob}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRow:
    """Curve of one size; a line of JSON."""

    kind: str = "curve"
    phase: str
    knob: str
    unit: str
    x: list[float]
    ms: list[float]
    """Median of an iteration without guidance."""
    peak_bytes: list[int | None]
    time_exponent: float
    """p of ms ~ x^p, by least squares over all points."""
    last_exponent: float
    """Exponent of the two largest points alone, where fixed costs count least."""
    memory_exponent: float | None
    is_linear: bool
    """True if the last exponent is at most `LINEAR`."""
    clock: str
    threads: int
    device: str
    versions: str
    commit: str


class InstantStep:
    """A guidance step that takes no time: a loss of 0 and the same gradient for every pixel."""

    def __init__(self, step: GuidanceStep) -> None:
        self.inputs, self.outputs = step.inputs, step.outputs

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return no loss and a small gradient."""
        del feeds
        return torch.zeros(()), torch.full_like(image, 1e-3)


def measure_curves(
    bundle: Bundle, *, rounds: int, clock: Clock, report: Callable[[str], None]
) -> Iterator[CurveRow]:
    """Time and memory of every curve.

    Args:
        bundle: gives the guidance steps their names and sizes.
        rounds: iterations that are timed of every point.
        clock: what is counted.
        report: told which curve is measured.
    """
    supervision = instant_supervision(bundle)
    for curve in curves(supervision):
        report(curve.name)
        yield measure_curve(curve, rounds=rounds, clock=clock)


def instant_supervision(bundle: Bundle) -> Supervision:
    """Supervision whose frozen networks take no time, on a blank reference view."""
    eager: Steps = eager_steps(bundle)
    side, d = bundle.unclip.image_size, bundle.bind.model.config.embed_dim
    reference = ReferenceView(torch.ones(1, 3, side, side), torch.ones(1, 1, side, side), orbit(1))
    condition = Condition(
        c_m=torch.zeros(d),
        class_labels=torch.zeros(1, 2 * d),
        eps_star=torch.zeros(1, *bundle.unclip.latent_shape),
        stereo=StereoCondition(
            view=reference,
            latent=torch.zeros(1, *bundle.zero123.latent_shape),
            embedding=torch.zeros(1, bundle.zero123.embedding_dim),
            seen_pose=torch.zeros(1, 3),
            share=torch.ones(()),
            agreement=torch.full((), torch.nan),
        ),
    )
    return Supervision(bundle, condition, lambda name: InstantStep(eager(name)))


def curves(supervision: Supervision) -> Iterator[Curve]:
    """Everything that an iteration's size depends on, each over about a decade or more."""
    sides = (32, 64, 128, 256)
    yield Curve(
        "render resolution", "pixels",
        tuple(Point(s * s, coarse_phase(supervision, size=s)) for s in sides),
    )  # fmt: skip
    yield Curve(
        "views", "views",
        tuple(Point(n, coarse_phase(supervision, views=n)) for n in (1, 2, 4, 8)),
    )  # fmt: skip
    yield Curve(
        "samples", "samples per ray",
        tuple(
            Point(1 / step, coarse_phase(supervision, ray_step=step))
            for step in (0.07, 0.035, 0.0175, 0.00875)
        ),
    )  # fmt: skip
    yield Curve(
        "hash levels", "levels",
        tuple(Point(n, coarse_phase(supervision, levels=n)) for n in (2, 4, 8, 16)),
    )  # fmt: skip
    yield Curve(
        "render resolution", "pixels",
        tuple(Point(s * s, ball_phase(supervision, size=s)) for s in sides),
    )  # fmt: skip
    made = [ball_phase(supervision, resolution=n) for n in (16, 24, 32, 48, 64)]
    yield Curve(
        "tetrahedral resolution", "triangles",
        tuple(Point(len(phase.shape.extract().faces), phase) for phase in made),
    )  # fmt: skip
    yield Curve(
        "render resolution", "pixels",
        tuple(Point(s * s, painted_phase(supervision, size=s)) for s in sides),
    )  # fmt: skip


def coarse_phase(
    supervision: Supervision,
    *,
    size: int = 64,
    views: int = 1,
    ray_step: float = 0.035,
    levels: int | None = None,
) -> CoarsePhase:
    """Phase I at its first iteration: the field is a blob."""
    config = replace(CoarseConfig(), size=size, views=views, ray_step=ray_step)
    if levels is not None:
        all_levels = config.field.resolutions
        resolutions = level_resolutions(levels, all_levels[0], all_levels[-1])
        config = replace(config, field=replace(config.field, resolutions=resolutions))
    return CoarsePhase(config, supervision, HashField(config.field, generator=_generator()))


def ball_phase(supervision: Supervision, *, size: int = 64, resolution: int = 32) -> SurfacePhase:
    """Phase II on a ball."""
    config = replace(GeometryConfig(), size=size, resolution=resolution)
    return geometry_phase(config, supervision, _ball(resolution))


def painted_phase(supervision: Supervision, *, size: int) -> SurfacePhase:
    """Phase III on a ball."""
    field = HashField(TextureConfig().field, generator=_generator())
    mesh = _ball(32).extract()
    detached = type(mesh)(mesh.vertices.detach(), mesh.faces)
    return texture_phase(replace(TextureConfig(), size=size), supervision, detached, field)


def _ball(resolution: int) -> DMTet:
    corner = torch.full((3,), 1.1 * BALL)
    return DMTet.from_density(
        lambda x: 20 * (BALL + 0.5 - x.norm(dim=-1)), -corner, corner, resolution,
        threshold=CoarseConfig().threshold, smoothing=GeometryConfig().conversion.smoothing,
    )  # fmt: skip


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def measure_curve(curve: Curve, *, rounds: int, clock: Clock) -> CurveRow:
    """Every point once for its memory, then all of them in turn for their time."""
    generator = _generator()

    def iterate(point: Point) -> None:
        advance(point.phase, 0, generator)

    for point in curve.points:
        iterate(point)  # compiles, and makes the optimiser's state
    peaks = [peak_bytes_of(partial(iterate, point), CPU)[1] for point in curve.points]
    times: list[list[float]] = [[] for _ in curve.points]
    for _ in range(rounds):
        for taken, point in zip(times, curve.points, strict=True):
            taken.append(elapsed_ms(partial(iterate, point), CPU, clock))
    ms = [median(taken) for taken in times]
    x = [point.x for point in curve.points]
    last = exponent(x[-2:], ms[-2:])
    known = [peak for peak in peaks if peak]
    return CurveRow(
        phase=curve.points[0].phase.name, knob=curve.knob, unit=curve.unit, x=x, ms=ms,
        peak_bytes=peaks, time_exponent=exponent(x, ms), last_exponent=last,
        memory_exponent=exponent(x, known) if len(known) == len(x) else None,
        is_linear=last <= LINEAR, clock=clock, threads=torch.get_num_threads(),
        device=device_name(CPU), versions=describe_versions(), commit=describe_commit(),
    )  # fmt: skip


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """p of y = c · x^p by least squares of the logarithms."""
    u, v = [math.log(a) for a in x], [math.log(b) for b in y]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    covariance = sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
    return covariance / sum((a - mean_u) ** 2 for a in u)
