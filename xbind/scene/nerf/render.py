"""Seeing the field: volume rendering of whole images, and the normals of what they show."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
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
    background: float = 1.0,
) -> NerfViews:
    """Render `size` × `size` images of the field.

    Args:
        field: what is seen.
        occupancy: which space is skipped; None skips nothing.
        cameras: where from.
        size: side of the images, in pixels.
        step: distance of neighbouring samples, in scene units.
        generator: draws each ray's jitter; None samples every step in its middle.
        background: grey value behind the field, in [0, 1].

    Returns:
        The views, differentiable in the parameters of `field` (`surface` is not).
    """
    origins, directions = (x.reshape(-1, 3) for x in cameras.rays(size))
    count = len(origins)
    jitter = torch.full((count,), 0.5, device=origins.device)
    if generator is not None:
        jitter = torch.rand(count, generator=generator, device=generator.device)
    chunks = zip(*(x.split(RAYS_AT_ONCE) for x in (origins, directions, jitter)), strict=True)
    rays = _join([_render_rays(field, occupancy, *chunk, step=step) for chunk in chunks])

    def image(values: Tensor) -> Tensor:  # [r, …] → [b, c, h, w]
        return values.view(len(cameras), size, size, -1).permute(0, 3, 1, 2).contiguous()

    behind = (1 - rays.opacity) * background
    mean_depth = rays.depth.detach() / rays.opacity.detach().clamp_min(1e-6)
    return NerfViews(
        image=image(rays.colour + behind[:, None]),
        mask=image(rays.opacity),
        depth=image(rays.depth),
        z_variance=rays.z_variance,
        opacity=rays.opacity,
        surface=origins + mean_depth[:, None] * directions,
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
    ahead = spacing * torch.eye(3, device=points.device)
    around = points[:, None] + torch.cat([ahead, -ahead])
    raw = field.raw_density(around.reshape(-1, 3)).view(-1, 2, 3)
    outward = raw[:, 1] - raw[:, 0]
    normals = outward / (outward.square().sum(-1, keepdim=True) + 1e-12).sqrt()
    b, _, height, width = views.mask.shape
    flat = torch.zeros_like(views.surface).index_put((solid,), normals)
    return NormalViews(
        normals=flat.view(b, height, width, 3).permute(0, 3, 1, 2).contiguous(),
        mask=solid.view(b, 1, height, width),
    )


def _render_rays(
    field: HashField,
    occupancy: OccupancyGrid | None,
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    jitter: Float[Tensor, " r"],
    *,
    step: float,
) -> _Rays:
    cells = None if occupancy is None else occupancy.cells
    samples = march(
        origins, directions, cells, radius=field.config.radius, step=step, jitter=jitter
    )
    density, colour = field(samples.positions)
    seen = composite(density, colour, samples)
    return _Rays(seen.colour, seen.opacity, seen.depth, seen.z_variance)


def _join(parts: list[_Rays]) -> _Rays:
    return _Rays(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(_Rays)))
