"""Pictures of a mesh: normal maps, masks, and colours from a function of the surface point.

Row 0 is the top of the image. Everything is antialiased along silhouettes, which is where the
gradient of a mesh's outline comes from.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xbind.kernels import antialias, edge_table, interpolate, rasterize
from xbind.scene.cameras import Cameras
from xbind.scene.mesh.mesh import Mesh

ColourAt = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""World positions to colours in [0, 1]."""


@dataclass(frozen=True, slots=True, eq=False)
class SurfacePoints:
    """Buffers of `b` square views of a mesh, sampled at pixel centres."""

    rast: Float[Tensor, "b h w 4"]
    """(u, v, z/w, face + 1): see `xbind.kernels.rasterize`."""
    clip: Float[Tensor, "b v 4"]
    """The mesh's vertices in each view's clip space."""
    positions: Float[Tensor, "b h w 3"]
    """World position of the surface point; zero where the mask is false."""
    mask: Bool[Tensor, "b h w"]
    """True where a pixel shows the mesh."""
    table: Int[Tensor, "f 3"]
    """`edge_table` of the mesh's faces."""


def surface_points(
    mesh: Mesh, cameras: Cameras, size: int, *, table: Int[Tensor, "f 3"] | None = None
) -> SurfacePoints:
    """Find the surface point behind every pixel centre of `size` × `size` images.

    Args:
        mesh: the surface, in world coordinates.
        cameras: one per view.
        size: side of the images in pixels.
        table: `edge_table(mesh.faces)`, for callers whose faces do not change.

    Returns:
        The points; `clip` and `positions` are differentiable in the mesh's vertices.
    """
    corner = torch.ones_like(mesh.vertices[:, :1])
    to_clip = cameras.clip_from_world().to(mesh.vertices)
    clip = torch.cat([mesh.vertices, corner], -1) @ to_clip.transpose(1, 2)
    rast = rasterize(clip, mesh.faces, (size, size))
    return SurfacePoints(
        rast,
        clip,
        interpolate(mesh.vertices, rast, mesh.faces),
        rast[..., 3] > 0,
        edge_table(mesh.faces) if table is None else table,
    )


def shade(
    points: SurfacePoints, mesh: Mesh, colour_at: ColourAt, *, background: float = 1.0
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """Colour the surface points and antialias the image.

    Args:
        points: `surface_points` of `mesh`.
        mesh: the surface.
        colour_at: called once, with the positions of the covered pixels only.
        background: grey level where there is no surface.

    Returns:
        The image, in [0, 1] if the colours are, and the share of each pixel that the mesh covers.
        Differentiable in the parameters of `colour_at` and in the mesh's vertices.
    """
    colours = colour_at(points.positions[points.mask])
    image = torch.full_like(points.positions, background)
    return _antialiased(image.masked_scatter(points.mask[..., None], colours), points, mesh)


def render_normals(
    mesh: Mesh, cameras: Cameras, size: int, *, table: Int[Tensor, "f 3"] | None = None
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """World-space normals as colours, (n + 1)/2 on black; what Phase II shows to the priors.

    Returns:
        The normal maps in [0, 1] and the share of each pixel that the mesh covers. Differentiable
        in the mesh's vertices, through the normals and through the silhouettes.
    """
    return shade_normals(surface_points(mesh, cameras, size, table=table), mesh)


def shade_normals(
    points: SurfacePoints, mesh: Mesh
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """`render_normals` of surface points that are known already."""
    smooth = interpolate(mesh.vertex_normals(), points.rast, mesh.faces)
    normals = torch.nn.functional.normalize(smooth, dim=-1)
    image = torch.where(points.mask[..., None], (normals + 1) / 2, 0.0)
    return _antialiased(image, points, mesh)


def render_mask(
    mesh: Mesh, cameras: Cameras, size: int, *, table: Int[Tensor, "f 3"] | None = None
) -> Float[Tensor, "b 1 h w"]:
    """The share of each pixel that the mesh covers; differentiable in its vertices."""
    points = surface_points(mesh, cameras, size, table=table)
    return _antialiased(torch.zeros_like(points.positions), points, mesh)[1]


def _antialiased(
    image: Float[Tensor, "b h w 3"], points: SurfacePoints, mesh: Mesh
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """Antialias colours and coverage together; channels first."""
    layers = torch.cat([image, points.mask[..., None].to(image)], -1)
    smooth = antialias(layers, points.rast, points.clip, mesh.faces, table=points.table)
    colour, mask = smooth.movedim(-1, 1).split([3, 1], 1)
    return colour.contiguous(), mask.contiguous()
