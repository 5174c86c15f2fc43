"""What a surface stage represents, what its views show, and the result of a run."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.algorithm.looks import Look, Looks
from xbind.kernels import edge_table
from xbind.scene.appearance import Appearance
from xbind.scene.cameras import Cameras
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.render import ColourAt, render_normals, shade, shade_with, surface_points
from xbind.scene.nerf.field import HashField


@dataclass(frozen=True, slots=True, eq=False)
class TexturedMesh:
    """Result of Algorithm 1."""

    mesh: Mesh
    """Its geometry, in the scene's frame."""
    field: HashField | MaterialField
    """Its colours or its material; a density is not used."""
    light: Light | None = None
    """Light under which it is seen; None for colours that are shown as they are, and for the sky of
    a material's own configuration."""

    def to(self, device: torch.device | str) -> "TexturedMesh":
        """The same on another device; the field itself is moved."""
        return TexturedMesh(self.mesh.to(device), self.field.to(device), self.light)

    @property
    def appearance(self) -> Appearance:
        """Its colours under the light."""
        if isinstance(self.field, MaterialField):
            return Appearance.of_material(self.field, self.light)
        return Appearance(colours_of(self.field), self.light)


def colours_of(field: HashField) -> ColourAt:
    """Returns the colours of a field, in [0, 1], at world positions."""

    def colour_at(points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        colour: Tensor = field(points)[1]
        return colour

    return colour_at


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
        image, mask = shade(
            points, mesh, colours_of(self.field), background=look.background, shading=look.shading
        )
        return SurfaceViews(image, mask)


class ShowMaterial:
    """Views that show a material under its sky, over a background."""

    def __init__(self, field: MaterialField, looks: Looks) -> None:
        """Take the sky of the bundle's light, or that of the material's configuration."""
        self._appearance = Appearance.of_material(field, looks.known_light)

    def __call__(
        self, mesh: Mesh, cameras: Cameras, size: int, table: Int[Tensor, "f 3"] | None, look: Look
    ) -> SurfaceViews:
        """See `Show`."""
        points = surface_points(mesh, cameras, size, table=table)
        shader = self._appearance.in_views(cameras.position())
        return SurfaceViews(*shade_with(points, mesh, shader, background=look.background))
