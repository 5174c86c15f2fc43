"""Phase III of Algorithm 1 (lines 12-17): a texture field on the frozen geometry."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.algorithm.supervision import Supervision
from xbind.algorithm.views import (
    draw_views,
    hybrid_terms,
    hybrid_weights,
    reference_terms,
    wants_reference,
)
from xbind.config.presets import TextureConfig
from xbind.kernels import edge_table
from xbind.scene.cameras import Cameras, orbit
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.render import shade, surface_points
from xbind.scene.nerf.field import HashField


@dataclass(frozen=True, slots=True, eq=False)
class TexturedMesh:
    """Result of Algorithm 1."""

    mesh: Mesh
    """Its geometry, in the scene's frame."""
    field: HashField
    """Its colours; the density is not used."""

    def to(self, device: torch.device | str) -> "TexturedMesh":
        """The same on another device; the field itself is moved."""
        return TexturedMesh(self.mesh.to(device), self.field.to(device))

    def colour_at(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """Albedo at surface points, in [0, 1]."""
        colour: Tensor = self.field(points)[1]
        return colour


class TexturePhase:
    """The texture field of Phase III with its optimiser, views and loss terms."""

    name = "texture"

    def __init__(
        self, config: TextureConfig, supervision: Supervision, mesh: Mesh, field: HashField
    ) -> None:
        """Start from a colour field that `fit_texture_field` fitted, or any other."""
        self.config = config
        self.steps = config.steps
        self.mesh = mesh
        self.textured = TexturedMesh(mesh, field)
        self.module: nn.Module = field
        self.optimizer = torch.optim.Adam(
            field.parameters(), config.learning_rate, betas=config.adam.betas, eps=config.adam.eps
        )
        self._supervision = supervision
        self._table = edge_table(mesh.faces)

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, line 15."""
        cameras = draw_views(self.config.cameras, self.config.views, generator)
        image, _ = self._render(cameras, self.config.size)
        guidance = self.config.guidance
        hybrid = hybrid_terms(
            self._supervision, guidance, image, cameras, step / self.steps, generator,
            planar=self.config.planar,
        )  # fmt: skip
        terms: dict[str, Tensor] = {}
        if wants_reference(guidance, step):
            seen, mask = self._render(
                self._supervision.condition.reference.camera, self.config.size
            )
            terms |= reference_terms(self._supervision, guidance, seen, mask)
            terms.pop("mask", None)  # the silhouette is frozen
        return hybrid.losses() | terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 8 to 12."""
        del step
        return hybrid_weights(self.config.guidance)

    def preview(self) -> Tensor:
        """Four views in a row."""
        with torch.no_grad():
            cameras = orbit(4, device=self.mesh.vertices.device)
            image, _ = self._render(cameras, self.config.size)
        return torch.cat(list(image), -1)

    def _render(self, cameras: Cameras, size: int) -> tuple[Tensor, Tensor]:
        points = surface_points(self.mesh, cameras, size, table=self._table)
        return shade(points, self.mesh, self.textured.colour_at)
