"""Settings of the scene: field, occupancy, cameras, optimisers, meshes. Read-only; no torch here.

Each number that decides a result is a field here or in `xbind.config.method`, with its unit and its
source. "Not in the paper" without another source means chosen on the mini bundle's tuning list.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from xbind.config.ranges import (
    Ascending,
    Count,
    Decay,
    Elevation,
    FieldOfView,
    Pixels,
    Positive,
    PositiveCount,
    PositiveShare,
    Range,
    Settings,
    Share,
    Weight,
    added,
)


def level_resolutions(levels: int, coarsest: int, finest: int) -> tuple[int, ...]:
    """Resolutions of Instant-NGP's grid: ⌊coarsest · growth^k⌋ for k = 0 … levels − 1.

    The growth takes `coarsest` to `finest` in levels − 1 steps (Müller et al. 2022, Eq. 2 and 3).

    Raises:
        ValueError: `levels` or `coarsest` is below 1, or `finest` is below `coarsest`.
    """
    if levels < 1 or not 1 <= coarsest <= finest:
        raise ValueError(
            f"a grid needs levels ≥ 1 and 1 ≤ coarsest ≤ finest, got {levels}, {coarsest} and "
            f"{finest}"
        )
    growth = finest / coarsest
    steps = max(levels - 1, 1)
    return tuple(int(coarsest * growth ** (k / steps)) for k in range(levels))


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldConfig(Settings):
    """Size of a radiance field, and the shape it starts from."""

    radius: Positive = 0.85
    """Half the side of the cube that the hash grid covers, and radius of the ball that is rendered,
    in scene units (threestudio: 1)."""
    resolutions: tuple[PositiveCount, ...] = (12, 18, 28, 42, 63, 96)
    """Cells along a side of each level of the hash grid (not in the paper)."""
    features: PositiveCount = 2
    """Learned numbers per grid vertex (Instant-NGP)."""
    log2_entries: Annotated[int, Range(1, 30)] = 15
    """Binary logarithm of each level's table size; a level with more vertices is hashed
    (threestudio: 19)."""
    hidden: PositiveCount = 32
    """Width of the MLP's hidden layers (threestudio: 64)."""
    hidden_layers: PositiveCount = 1
    """Hidden layers of the MLP (threestudio: 2)."""
    separate_heads: bool = False
    """True if density and colour have an MLP each, as in threestudio; False if they share one."""
    table_spread: Weight = 1e-4
    """The features start uniformly in ± this (Instant-NGP), so the field starts as its blob."""
    density_scale: Positive = 10.0
    """Factor of the softplus (not in the paper; threestudio: 1). Within a few hundred steps the raw
    density moves by a few units, and a surface has to grow hard by then."""
    blob_density: float = 5.0
    """Added to the raw density at the centre (threestudio's blob_magic3d: 10, at scale 1)."""
    blob_radius: Positive = 0.4
    """Distance from the centre at which nothing is added, in scene units (threestudio: 0.5)."""

    @property
    def encoded(self) -> int:
        """Numbers that the hash grid returns for a point."""
        return len(self.resolutions) * self.features

    @property
    def heads(self) -> tuple[int, ...]:
        """Outputs of each MLP: density and colour together, or one after the other."""
        return (1, 3) if self.separate_heads else (4,)

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs of each layer of an MLP."""
        return (self.encoded, *(self.hidden,) * self.hidden_layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class OccupancyConfig(Settings):
    """Size of the occupancy grid, and which of its cells count as empty."""

    resolution: PositiveCount = 32
    """Cells along a side of the cube [−radius, radius]³ (threestudio)."""
    interval: PositiveCount = 8
    """Iterations between two updates, from the first iteration on (nerfacc: 16)."""
    decay: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.9
    """Factor that a cell's remembered density loses per update, in (0, 1) (nerfacc: 0.95)."""
    threshold: Weight = 0.3
    """A cell is empty when its remembered density is below this, per scene unit. Not in the paper:
    1 % opacity in a step of 1/30; nerfacc: 1 % in a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraRange(Settings):
    """Ranges from which views are drawn uniformly; by default those of Phases I and III."""

    elevation_deg: Annotated[tuple[Elevation, Elevation], Ascending()] = (-45.0, 45.0)
    """Above the horizon, in degrees (Sec. V-A-1)."""
    azimuth_deg: Annotated[tuple[float, float], Ascending()] = (-180.0, 180.0)
    """From +x towards +y, in degrees (Sec. V-A-1)."""
    distance: Annotated[tuple[Positive, Positive], Ascending()] = (2.5, 2.5)
    """From the object's centre, in scene units (Sec. V-A-1)."""
    fov_y_deg: Annotated[tuple[FieldOfView, FieldOfView], Ascending()] = (40.0, 40.0)
    """Vertical field of view, in degrees (Sec. V-A-1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdamConfig(Settings):
    """Adam, and with a decay AdamW, beside its learning rate."""

    betas: tuple[Decay, Decay] = (0.9, 0.99)
    """Decay of the two moments (threestudio's magic123)."""
    eps: Positive = 1e-8
    """Added to the root of the second moment (threestudio's magic123)."""
    weight_decay: Weight = added(0.0)
    """Decoupled decay of AdamW; 0 for Adam (torch's AdamW: 0.01)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdanConfig(Settings):
    """Adan, beside its learning rate."""

    betas: tuple[Decay, Decay, Decay] = (0.98, 0.92, 0.99)
    """Decay of the three moments (Xie et al. 2022)."""
    eps: Positive = 1e-8
    """Added to the root of the third moment (Consistent3D's consistency-refine)."""
    weight_decay: Weight = 2e-8
    """Decoupled decay (Consistent3D's consistency-refine)."""
    max_grad_norm: Weight = 5.0
    """Bound on the norm of all gradients together (Consistent3D's consistency-refine)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversionConfig(Settings):
    """From the density of Phase I to the signed values of Phase II. Not in the paper."""

    box_resolution: Annotated[int, Range(2)] = 32
    """Points along a side of the lattice on which the box is searched."""
    box_margin: Weight = 0.1
    """Widening of the box on each side, as a share of its sides (threestudio)."""
    smoothing: Count = 3
    """Passes that turn the clamped field into distances; 0 leaves it as threestudio does."""
    level: Literal["threshold", "mean"] = added("threshold")
    """Density of the surface: Phase I's `threshold`, or the mean of the densities above
    `least_density` on the box's lattice (threestudio's `auto`, of magic3d-refine-sd)."""
    least_density: Positive = added(1e-5)
    """Densities from here on count in that mean, in inverse scene units (threestudio)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextureFitConfig(Settings):
    """How Phase III's field is fitted to what Phase I shows of the surface. Not in the paper:
    threestudio goes on with the field of Phase I."""

    outside: Positive = 0.06
    """Distance from the surface at which rays start, in scene units: about two pixels of a 64-pixel
    view, the width over which Phase I's density rises."""
    ray_step: Positive = 0.02
    """Distance of two samples on a ray, in scene units."""
    least_opacity: Share = 0.01
    """Opacity below which a ray has no colour."""
    points: PositiveCount = 16_384
    """Surface points with a known colour."""
    batch: PositiveCount = 4_096
    """Points per step of the fit."""
    steps: Count = 100
    """Steps of the fit."""
    learning_rate: Positive = 0.02
    """Adam's, at the start."""
    rate_end: Share = 0.1
    """Share of the learning rate that is left at the end of a linear decay."""
    adam: AdamConfig = AdamConfig()
    """Settings of Adam in the fit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnwrapConfig(Settings):
    """Layout of the mesh in its texture. Not in the paper."""

    chart_cost: Positive = 8.0
    """Largest growth of a chart before xatlas cuts it (its default is 2); large: few seams."""
    relax_passes: Count = 3
    """Passes that even out the triangles before unwrapping: 8 charts where there were 324."""
    gutter_px: Count = 4
    """Empty texels between charts."""
    used_share: PositiveShare = 0.8
    """Share of the texture's side that xatlas is asked for: it exceeds it by about a quarter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurntableConfig(Settings):
    """The animation of the result, beside its number of frames."""

    size: Pixels = 256
    """Side of each picture, in pixels (not in the paper)."""
    fps: Positive = 18.0
    """Frames per second (not in the paper)."""
    elevation_deg: Elevation = 15.0
    """Elevation of the cameras, in degrees (threestudio)."""
    distance: Positive = 2.5
    """Distance of the cameras, in scene units (Sec. V-A-1)."""
    fov_y_deg: FieldOfView = 40.0
    """Field of view of the cameras, in degrees (Sec. V-A-1)."""
