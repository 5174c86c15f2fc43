"""What a surface stage represents, what its views show, and the result of a run."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.algorithm.looks import Look
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


class Show(Protocol):
    """What the views of a stage show."""

    def __call__(
        self, mesh: Mesh, cameras: Cameras, size: int, table: Int[Tensor, "f 3"] | None, look: Look
    ) -> SurfaceViews:
        """Renders views of a mesh.

        Args:
            mesh: the surface.
            cameras: one per view.
            size: side of the views, in pixels.
            table: `edge_table` of the mesh's faces, if it is known.
            look: light and background.
        """


class ShowNormals:
    """Views that show world-space normals, (n + 1)/2 on black; they have no look."""

    def __call__(
        self, mesh: Mesh, cameras: Cameras, size: int, table: Int[Tensor, "f 3"] | None, look: Look
    ) -> SurfaceViews:
        """See `Show`."""
        del look
        return SurfaceViews(*render_normals(mesh, cameras, size, table=table))


class ShowColours:
    """Views that show the colours of a field, under light, over a background."""

    def __init__(self, field: HashField) -> None:
        self.field = field

    def __call__(
        self, mesh: Mesh, cameras: Cameras, size: int, table: Int[Tensor, "f 3"] | None, look: Look
    ) -> SurfaceViews:
        """See `Show`."""
        points = surface_points(mesh, cameras, size, table=table)
        colour_at = TexturedMesh(mesh, self.field).colour_at
        image, mask = shade(
            points, mesh, colour_at, background=look.background, shading=look.shading
        )
        return SurfaceViews(image, mask)
