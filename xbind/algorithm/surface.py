"""What a surface stage represents, what its views show, and the result of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.kernels import edge_table
from xbind.scene.appearance import Appearance
from xbind.scene.cameras import Cameras
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.render import render_normals, shade, surface_points
from xbind.scene.nerf.field import HashField


@dataclass(frozen=True, slots=True, eq=False)
class TexturedMesh:
    """Result of Algorithm 1."""

    mesh: Mesh
    """Its geometry, in the scene's frame."""
    field: HashField | MaterialField
    """Its colours, of which the density is not used, or its material."""
    light: Light | None = None
    """Known light under which the colours were optimised, or that of the material."""

    def to(self, device: torch.device | str) -> "TexturedMesh":
        """The same on another device; the field itself is moved."""
        return TexturedMesh(self.mesh.to(device), self.field.to(device), self.light)

    @property
    def appearance(self) -> Appearance:
        """Its colours under its light."""
        if isinstance(self.field, MaterialField):
            return Appearance.of_material(self.field, self.light)
        return Appearance(self.colour_at, self.light)

    def colour_at(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Albedo, or base colour, at surface points, in [0, 1]."""
        if isinstance(self.field, MaterialField):
            return self.field(points).base_colour
        colour: Tensor = self.field(points)[1]
        return colour


class Shape(Protocol):
    """What is represented: DMTet's grid, a network, or a mesh that does not change."""

    def extract(self, context: str = ...) -> Mesh:
        """The surface now, differentiable in the shape's parameters.

        Args:
            context: what is going on, for the error message.

        Raises:
            EmptySurface: there is none.
        """


class FrozenShape:
    """A mesh that does not change."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.table = edge_table(mesh.faces)

    def extract(self, context: str = "") -> Mesh:
        """Returns the mesh."""
        del context
        return self.mesh


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceViews:
    """Rendered views of a surface."""

    image: Float[Tensor, "b 3 h w"]
    """What they show, in [0, 1]."""
    mask: Float[Tensor, "b 1 h w"]
    """Share of each pixel that the surface covers."""


Show = Callable[[Mesh, Cameras, int, Int[Tensor, "f 3"] | None], SurfaceViews]
"""Renders a mesh from cameras, at a size in pixels, with its edge table if that is known."""


def show_normals(
    mesh: Mesh, cameras: Cameras, size: int, table: Int[Tensor, "f 3"] | None
) -> SurfaceViews:
    """Views that show world-space normals, (n + 1)/2 on black."""
    return SurfaceViews(*render_normals(mesh, cameras, size, table=table))


def show_colours(field: HashField) -> Show:
    """Returns what renders the colours of a field on white, without light."""

    def show(
        mesh: Mesh, cameras: Cameras, size: int, table: Int[Tensor, "f 3"] | None
    ) -> SurfaceViews:
        points = surface_points(mesh, cameras, size, table=table)
        return SurfaceViews(*shade(points, mesh, TexturedMesh(mesh, field).colour_at))

    return show
