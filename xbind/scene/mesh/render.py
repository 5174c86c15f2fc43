"""Pictures of a mesh: normal maps, masks, and colours from a function of the surface point.

Row 0 is the top of the image. Everything is antialiased along silhouettes, which is where the
gradient of a mesh's outline comes from.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from xbind.kernels import antialias, edge_table, interpolate, rasterize
from xbind.scene.cameras import Cameras
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.shading import ALBEDO, Shading

ColourAt = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
"""World positions to colours in [0, 1]."""
SurfaceShader = Callable[
    [Float[Tensor, "p 3"], Float[Tensor, "p 3"], Int64[Tensor, " p"]], Float[Tensor, "p 3"]
]
"""World positions, unit outward normals and the index of the view that shows each point, to
colours in [0, 1]."""


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
    points: SurfacePoints,
    mesh: Mesh,
    colour_at: ColourAt,
    *,
    background: float | Float[Tensor, "b 3 h w"] = 1.0,
    shading: Shading = ALBEDO,
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """Colour the surface points and antialias the image.

    Args:
        points: `surface_points` of `mesh`.
        mesh: the surface.
        colour_at: called once, with the positions of the covered pixels only.
        background: grey level, or colours, where there is no surface.
        shading: light on the surface, whose normals are the vertices', interpolated.

    Returns:
        The image, in [0, 1] if the colours are and no light exceeds 1, and the share of each pixel
        that the mesh covers. Differentiable in the parameters of `colour_at`, in the mesh's
        vertices (under light also through the normals) and in a background of colours.
    """
    if shading.light is None:
        return _coloured(points, mesh, colour_at(points.positions[points.mask]), background)

    def lit(positions: Tensor, normals: Tensor, view: Tensor) -> Tensor:
        return shading(colour_at(positions), normals, positions, view)

    return shade_with(points, mesh, lit, background=background)


def shade_with(
    points: SurfacePoints,
    mesh: Mesh,
    shader: SurfaceShader,
    *,
    background: float | Float[Tensor, "b 3 h w"] = 1.0,
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """`shade` with colours that also depend on the normal and the view, such as a material's.

    Args:
        points: `surface_points` of `mesh`.
        mesh: the surface.
        shader: called once, with the covered pixels only.
        background: grey level, or colours, where there is no surface.
    """
    normals = surface_normals(points, mesh)[points.mask]
    view = points.mask.nonzero()[:, 0]
    colours = shader(points.positions[points.mask], normals, view)
    return _coloured(points, mesh, colours, background)


def _coloured(
    points: SurfacePoints,
    mesh: Mesh,
    colours: Float[Tensor, "p 3"],
    background: float | Float[Tensor, "b 3 h w"],
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """The antialiased image of the covered pixels' colours, and the coverage."""
    if isinstance(background, Tensor):
        image = background.movedim(1, -1)
    else:
        image = torch.full_like(points.positions, background)
    return _antialiased(image.masked_scatter(points.mask[..., None], colours), points, mesh)


def surface_normals(points: SurfacePoints, mesh: Mesh) -> Float[Tensor, "b h w 3"]:
    """Unit normals of the surface points, interpolated between the vertices'.

    Zero where there is no surface. Differentiable in the mesh's vertices.
    """
    smooth = interpolate(mesh.vertex_normals(), points.rast, mesh.faces)
    return torch.nn.functional.normalize(smooth, dim=-1)


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
    normals = surface_normals(points, mesh)
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
