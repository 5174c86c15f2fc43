"""Settings of the parts that methods are made of: ramps, rates, light, backgrounds, starts, VSD.

The defaults leave a part out. Where a source is threestudio, docs/reference/methods.md names the
file. Read-only; no torch here.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from xbind.config.ranges import (
    Ascending,
    Count,
    Positive,
    PositiveCount,
    PositiveShare,
    Range,
    Settings,
    Share,
    Weight,
    check_fields,
)

UNIT_TOLERANCE = 1e-3
"""Largest difference of a unit vector's length from 1."""
Weighting = Literal["residual", "sds", "uniform", "fantasia3d"]
"""λ(t) of SDS with the 2D prior, written as a factor on the noise residual ε̂ − ε: σ/α (the latent
residual z − ẑ counts alike at all t), σ² (DreamFusion), 1, or α σ² (Fantasia3D)."""
Timesteps = Literal["annealed", "uniform"]
"""Draws of t: around a value that falls along √progress, or uniformly."""
LightKind = Literal["none", "bundle", "dreamfusion", "magic3d"]
"""Light on the object: none; the known light of the bundle's training pictures; or a point light
whose position is drawn near the camera, as DreamFusion or as Magic3D draws it."""
BackgroundKind = Literal["white", "learned", "learned_or_random"]
"""Colour behind the object: white, a learned function of the ray's direction, or that function with
a random colour in its place in some of the iterations."""
Material = Literal["albedo", "pbr"]
"""What the texture holds: a colour, or base colour, metalness and roughness."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ramp(Settings):
    """A weight over a stage: `start` until the share `first`, `end` from the share `last` on, and a
    straight line between. With both equal to 0 the term is left out."""

    start: Weight = 0.0
    """Weight until `first`."""
    end: Weight = 0.0
    """Weight from `last` on."""
    first: Share = 0.0
    """Share of the stage's iterations at which the line begins."""
    last: Share = 1.0
    """Share of the stage's iterations at which the line ends; equal to `first` for a step."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.first > self.last:
            raise ValueError(f"first must be at most last, got {self.first} and {self.last}")

    @property
    def is_used(self) -> bool:
        """True if the weight is above 0 at some time."""
        return max(self.start, self.end) > 0

    def at(self, progress: float) -> float:
        """Returns the weight at a share of the stage in [0, 1]."""
        if progress >= self.last:
            return self.end
        if progress <= self.first:
            return self.start
        share = (progress - self.first) / (self.last - self.first)
        return self.start + (self.end - self.start) * share


@dataclass(frozen=True, kw_only=True, slots=True)
class RatesConfig(Settings):
    """Learning rates of single groups of parameters; None for the stage's learning rate."""

    network: Positive | None = None
    """Of the MLPs behind the hash grid."""
    background: Positive | None = None
    """Of a learned background."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShadingConfig(Settings):
    """Light in rendered views. Each iteration is lit, textureless or albedo as a whole."""

    light: LightKind = "none"
    """Light; `none` shows the colour alone in every iteration."""
    albedo_until: Share = 0.0
    """Share of the stage in which the colour alone is shown (threestudio's dreamfusion-sd: 0.2)."""
    p_lit: Share = 0.75
    """Chance of light after that (threestudio)."""
    p_textureless: Share = 0.5
    """Chance that an iteration with light shows grey in place of the colour (threestudio)."""
    ambient: Share = 0.1
    """Share of the light that reaches every surface; of a point light (threestudio)."""
    diffuse: Share = 0.9
    """Share of the light that follows Lambert's cosine; of a point light (threestudio)."""
    soft: bool = False
    """True if each iteration draws `diffuse` uniformly from [0, 1] and takes the rest for `ambient`
    (threestudio's magic3d-coarse-sd)."""
    light_distance: Annotated[tuple[Positive, Positive], Ascending()] = (0.8, 1.5)
    """Distance of a point light from the object's centre, drawn uniformly, in scene units
    (threestudio)."""
    light_spread: Weight = 1.0
    """Standard deviation of what is added to the camera's position before it is the direction of
    the light, in scene units; of `dreamfusion` (threestudio)."""
    light_cone_deg: Annotated[float, Range(0, 180)] = 60.0
    """Largest angle between the directions of the light and the camera, in degrees; of `magic3d`
    (threestudio)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackgroundConfig(Settings):
    """What is seen behind the object."""

    kind: BackgroundKind = "white"
    """Kind of background."""
    degree: Annotated[int, Range(1, 3)] = 3
    """Highest degree of the spherical harmonics of the ray's direction, the network's input
    (threestudio: 3)."""
    hidden: PositiveCount = 16
    """Width of its hidden layers (threestudio)."""
    hidden_layers: PositiveCount = 2
    """Its hidden layers (threestudio)."""
    p_random: Share = 0.5
    """Chance of a random colour; of `learned_or_random` (threestudio's `random_aug_prob`)."""
    stream: Count = 4
    """Added to the run's seed for the first weights of a learned background."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelsConfig(Settings):
    """Levels of the hash grid that are trained: the coarsest first, then one after the other."""

    first: PositiveCount | None = None
    """Levels that are trained from the beginning (threestudio's dreamfusion-sd: 8); None for all of
    them."""
    until: Share = 0.2
    """Share of the stage until which they stay alone (threestudio's dreamfusion-sd: 0.2)."""
    last: Share = 0.6
    """Share of the stage from which all levels are trained (threestudio's dreamfusion-sd: 0.6)."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.until > self.last:
            raise ValueError(f"until must be at most last, got {self.until} and {self.last}")

    def at(self, progress: float, levels: int) -> int:
        """Returns how many of `levels` levels are trained at a share of the stage in [0, 1]."""
        if self.first is None or self.first >= levels or progress >= self.last:
            return levels
        if progress < self.until:
            return self.first
        share = (progress - self.until) / (self.last - self.until)
        return self.first + int(share * (levels - self.first))


@dataclass(frozen=True, kw_only=True, slots=True)
class EllipsoidConfig(Settings):
    """The shape from which geometry starts that has no coarse stage before it."""

    radii: tuple[Positive, Positive, Positive] = (0.45, 0.45, 0.45)
    """Half axes along x, y and z, in scene units (threestudio's fantasia3d: a sphere of 0.5 in a
    box of half side 1)."""
    half_side: Positive = 0.85
    """Half the side of the cube of the tetrahedral grid, in scene units."""

    def __post_init__(self) -> None:
        check_fields(self)
        if max(self.radii) >= self.half_side:
            raise ValueError(
                f"radii must be below half_side ({self.half_side:g}), got {list(self.radii)}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimatorConfig(Settings):
    """The estimator of VSD: the 2D prior with trained low-rank changes (LoRA) and a camera."""

    rank: PositiveCount = 4
    """Rank of each change of a projection (diffusers, which threestudio takes)."""
    learning_rate: Positive = 2e-3
    """AdamW's (threestudio: 1e-4, over a hundred times as many iterations)."""
    weight_decay: Weight = 0.01
    """AdamW's decoupled decay (torch's default, which threestudio takes)."""
    camera_drop: Share = 0.1
    """Chance that the estimator is trained without the camera (threestudio)."""
    w_lora: Positive = 1.0
    """Weight of the estimator's own loss, a mean over the latent. It is the only term that reaches
    the estimator (threestudio: 1)."""
    stream: Count = 3
    """Added to the run's seed for the estimator's first weights."""


Decay = tuple[float, float, float]
"""(a, b, c) of a e^(−b r) + c."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PerpNegConfig(Settings):
    """Curves of Perp-Neg's weights over the azimuth, each (a, b, c) of a e^(−b r) + c
    (threestudio's `perp_neg_f_*`)."""

    front: Decay = (4.0, 0.5, -2.426)
    """Weight of the front's word, from the side (r = 0) to the front (r = 1)."""
    side: Decay = (4.0, 0.5, -2.426)
    """Weight of the side's word, from the front (r = 0) to the side (r = 1)."""
    side_to_back: Decay = (1.0, 0.5, -0.606)
    """Weight of the side's word, from the back (r = 0) to the side (r = 1)."""
    front_to_back: Decay = (1.0, 0.5, 0.967)
    """Weight of the front's word, from the back (r = 0) to the side (r = 1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PbrConfig(Settings):
    """Ranges of the physically based material of a texture."""

    metallic: Annotated[tuple[Share, Share], Ascending()] = (0.0, 0.9)
    """Range of metalness (threestudio's fantasia3d-texture)."""
    roughness: Annotated[tuple[PositiveShare, PositiveShare], Ascending()] = (0.08, 0.9)
    """Range of roughness (threestudio's fantasia3d-texture)."""
    reflectance: Share = 0.04
    """Reflectance at normal incidence of what is not metal (threestudio; glTF 2.0)."""
    sky_direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Unit vector towards the bright side of the sky over a material, in the world frame, where the
    bundle names no light (threestudio: the photographed sky mud_road_puresky_1k)."""
    sky_ambient: Share = 0.4
    """Light on a surface that faces away from there, as a share of that on one that faces it (not
    in threestudio)."""

    def __post_init__(self) -> None:
        check_fields(self)
        length = math.hypot(*self.sky_direction)
        if abs(length - 1) > UNIT_TOLERANCE:
            raise ValueError(f"sky_direction must have the length 1, got {length:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementConfig(Settings):
    """Share of ω_3d that the 3D prior's agreement with the prompt leaves (not in the paper).

    Before Phase I the 3D prior draws views from x_r. Their agreement is the mean of
    cos(C(view), C_m) / cos(C(x_r), C_m): about 1 for things that the 3D prior knows, less for
    others, which it turns into what it knows. The share is linear between `low` and `high`.
    """

    least_share: Share = 1.0
    """Share of ω_3d that is left in all stages where the agreement is at most `low`; 1 draws no
    views and leaves ω_3d as it is (preset `default`: 0.05)."""
    low: PositiveShare = 0.8
    """Agreement up to which the least share is left."""
    high: PositiveShare = 0.92
    """Agreement from which all of ω_3d is left."""
    views: PositiveCount = 5
    """Views, evenly spaced in azimuth and away from the reference camera."""
    steps: Annotated[int, Range(1, 1000)] = 10
    """DDIM steps."""
    cfg_scale: Weight = 2.5
    """Guidance scale of the 3D prior for these views, s of uncond + s · (cond − uncond)."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
