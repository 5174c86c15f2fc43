"""Seeing the field: volume rendering of whole images, and the normals of what they show."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from xbind.kernels import composite, march
from xbind.scene.cameras import Cameras
from xbind.scene.nerf.field import HashField
from xbind.scene.nerf.occupancy import OccupancyGrid

RAYS_AT_ONCE = 65_536
"""Rays that are rendered together; it bounds the memory of a large image without gradients."""


@dataclass(frozen=True, slots=True, eq=False)
class NerfViews:
    """Rendered views. `r` = b · h · w rays, view by view and row by row."""

    image: Float[Tensor, "b 3 h w"]
    """Colour over the background, in [0, 1]."""
    colour: Float[Tensor, "b 3 h w"]
    """Σ w c: the field's colour over nothing, in [0, 1]."""
    mask: Float[Tensor, "b 1 h w"]
    """Opacity Σw, in [0, 1]."""
    depth: Float[Tensor, "b 1 h w"]
    """Σ w t, in scene units, not divided by the opacity."""
    z_variance: Float[Tensor, " r"]
    """σ_z² of Eq. 6, in squared scene units."""
    opacity: Float[Tensor, " r"]
    """The mask's values in the order of `z_variance`, as `z_variance_loss` wants them."""
    surface: Float[Tensor, "r 3"]
    """Mean position of each ray's weights, in the world frame; detached. Meaningful where the
    opacity is not small."""
    samples: "SeenSamples | None" = None
    """What the rays were composited of, where `render` was asked for it."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenSamples:
    """Samples of all rays in one row, ray after ray."""

    positions: Float[Tensor, "n 3"]
    """In the world frame; constants."""
    weights: Float[Tensor, " n"]
    """w_i, in [0, 1]; detached."""
    ray: Int64[Tensor, " n"]
    """Index of the ray."""
    directions: Float[Tensor, "r 3"]
    """Unit directions of the rays, away from the camera."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleNormals:
    """Samples of some rays with their normals, as `orientation_loss` wants them."""

    weights: Float[Tensor, " n"]
    """w_i, in [0, 1]; detached."""
    normals: Float[Tensor, "n 3"]
    """Unit normals −∇density / |∇density|."""
    directions: Float[Tensor, "n 3"]
    """Unit directions of the samples' rays."""
    rays: int
    """How many of the chosen rays have an opacity above 0."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalViews:
    """Normal maps of rendered views."""

    normals: Float[Tensor, "b 3 h w"]
    """Unit normals in the world frame, zero where there is no surface."""
    mask: Bool[Tensor, "b 1 h w"]
    """True where a ray meets the object."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rays:
    """Quantities of each ray, before they are reshaped to images."""

    colour: Float[Tensor, "r 3"]
    opacity: Float[Tensor, " r"]
    depth: Float[Tensor, " r"]
    z_variance: Float[Tensor, " r"]


def render(
    field: HashField,
    occupancy: OccupancyGrid | None,
    cameras: Cameras,
    size: int,
    *,
    step: float,
    generator: torch.Generator | None,
    background: float | Float[Tensor, "b 3 h w"] = 1.0,
    keep_samples: bool = False,
) -> NerfViews:
    """Render `size` × `size` images of the field.

    Args:
        field: what is seen.
        occupancy: which space is skipped; None skips nothing.
        cameras: where from.
        size: side of the images, in pixels.
        step: distance of neighbouring samples, in scene units.
        generator: draws each ray's jitter; None samples every step in its middle.
        background: grey value, or colours, behind the field, in [0, 1].
        keep_samples: hand out the samples too, for `sample_normals`; they take memory.

    Returns:
        The views, differentiable in the parameters of `field` (`surface` is not) and in a
        background of colours.
    """
    origins, directions = (x.reshape(-1, 3) for x in cameras.rays(size))
    count = len(origins)
    jitter = torch.full((count,), 0.5, device=origins.device)
    if generator is not None:
        jitter = torch.rand(count, generator=generator, device=generator.device)
    chunks = zip(*(x.split(RAYS_AT_ONCE) for x in (origins, directions, jitter)), strict=True)
    kept: list[tuple[Tensor, Tensor, Tensor]] | None = [] if keep_samples else None
    rays = _join([_render_rays(field, occupancy, *chunk, step=step, kept=kept) for chunk in chunks])

    def image(values: Tensor) -> Tensor:  # [r, …] → [b, c, h, w]
        return values.view(len(cameras), size, size, -1).permute(0, 3, 1, 2).contiguous()

    if isinstance(background, Tensor):
        behind = (1 - rays.opacity)[:, None] * background.permute(0, 2, 3, 1).reshape(-1, 3)
    else:
        behind = ((1 - rays.opacity) * background)[:, None]
    mean_depth = rays.depth.detach() / rays.opacity.detach().clamp_min(1e-6)
    return NerfViews(
        image=image(rays.colour + behind),
        colour=image(rays.colour),
        mask=image(rays.opacity),
        depth=image(rays.depth),
        z_variance=rays.z_variance,
        opacity=rays.opacity,
        surface=origins + mean_depth[:, None] * directions,
        samples=None if kept is None else _joined_samples(kept, directions),
    )


def surface_normals(
    field: HashField, views: NerfViews, *, spacing: float, least_opacity: float
) -> NormalViews:
    """Normals of the surface that `views` show: n = −∇density / |∇density|, for L_nv.

    The gradient is taken by central differences of the field's raw density (six evaluations at one
    point per ray), so that one ordinary backward pass reaches the parameters.

    Args:
        field: the field that was rendered.
        views: where its surface lies; the positions are constants.
        spacing: half the distance of the two evaluations of an axis, in scene units.
        least_opacity: opacity above which a ray is taken to meet a surface, in [0, 1].

    Returns:
        Normals where the opacity exceeds `least_opacity`. Differentiable in the parameters of
        `field`.
    """
    solid = views.opacity.detach() > least_opacity
    points = views.surface[solid]
    normals = _normals_at(field, points, spacing)
    b, _, height, width = views.mask.shape
    flat = torch.zeros_like(views.surface).index_put((solid,), normals)
    return NormalViews(
        normals=flat.view(b, height, width, 3).permute(0, 3, 1, 2).contiguous(),
        mask=solid.view(b, 1, height, width),
    )


def sample_normals(
    field: HashField,
    views: NerfViews,
    *,
    share: float,
    spacing: float,
    generator: torch.Generator,
) -> SampleNormals:
    """Normals of every sample of a random share of the rays, for the orientation loss.

    The mean over random rays estimates the mean over all; at the mean depth alone, as in
    `surface_normals`, hardly any normal faces away from the camera. Samples without weight are left
    out: they add nothing.

    Args:
        field: the field that was rendered.
        views: rendered with `keep_samples`.
        share: share of the rays, in (0, 1]; at least one ray is taken.
        spacing: half the distance of the central differences, in scene units.
        generator: draws the rays.

    Returns:
        The samples. `normals` is differentiable in the parameters of `field`.

    Raises:
        ValueError: the views were rendered without samples.
    """
    samples = views.samples
    if samples is None:
        raise ValueError("the views have no samples: render them with keep_samples=True")
    count = len(samples.directions)
    order = torch.randperm(count, generator=generator, device=generator.device)
    is_chosen = torch.zeros(count, dtype=torch.bool, device=order.device)
    is_chosen[order[: max(round(share * count), 1)]] = True
    wanted = is_chosen[samples.ray] & (samples.weights > 0)
    return SampleNormals(
        weights=samples.weights[wanted],
        normals=_normals_at(field, samples.positions[wanted], spacing),
        directions=samples.directions[samples.ray[wanted]],
        rays=int((views.opacity.detach()[is_chosen] > 0).sum()),
    )


def _normals_at(
    field: HashField, points: Float[Tensor, "n 3"], spacing: float
) -> Float[Tensor, "n 3"]:
    """Unit normals by central differences of the raw density."""
    ahead = spacing * torch.eye(3, device=points.device)
    around = points[:, None] + torch.cat([ahead, -ahead])
    raw = field.raw_density(around.reshape(-1, 3)).view(-1, 2, 3)
    outward = raw[:, 1] - raw[:, 0]
    return outward / (outward.square().sum(-1, keepdim=True) + 1e-12).sqrt()


def _render_rays(
    field: HashField,
    occupancy: OccupancyGrid | None,
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    jitter: Float[Tensor, " r"],
    *,
    step: float,
    kept: list[tuple[Tensor, Tensor, Tensor]] | None,
) -> _Rays:
    """The quantities of one chunk; its samples are appended to `kept` unless that is None."""
    cells = None if occupancy is None else occupancy.cells
    samples = march(
        origins, directions, cells, radius=field.config.radius, step=step, jitter=jitter
    )
    density, colour = field(samples.positions)
    seen = composite(density, colour, samples)
    if kept is not None:
        kept.append((samples.positions, seen.weights.detach(), samples.ray))
    return _Rays(seen.colour, seen.opacity, seen.depth, seen.z_variance)


def _join(parts: list[_Rays]) -> _Rays:
    return _Rays(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(_Rays)))


def _joined_samples(
    kept: list[tuple[Tensor, Tensor, Tensor]], directions: Float[Tensor, "r 3"]
) -> SeenSamples:
    """Samples of all chunks; rays are counted from the first one of all."""
    positions, weights, ray = zip(*kept, strict=True)
    whole = torch.cat([index + k * RAYS_AT_ONCE for k, index in enumerate(ray)])
    return SeenSamples(torch.cat(positions), torch.cat(weights), whole, directions)
