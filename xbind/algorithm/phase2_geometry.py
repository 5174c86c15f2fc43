"""Phase II of Algorithm 1 (lines 6-11): refine the DMTet geometry on its normal maps.

Views are world-space normals, (n+1)/2 on black, for every network. A share of the iterations uses
the paper's close cameras, which crop the object: local views are part of the method, and the mini
priors were trained on such crops. The others see it whole, as in Phase I.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xbind.algorithm.adan import Adan
from xbind.algorithm.supervision import Supervision
from xbind.algorithm.views import (
    draw_views,
    hybrid_terms,
    hybrid_weights,
    reference_terms,
    wants_reference,
)
from xbind.config.presets import ConversionConfig, GeometryConfig
from xbind.losses.regularizers import laplacian_loss, normal_consistency_loss
from xbind.scene.cameras import orbit
from xbind.scene.mesh.components import keep_dominant_component
from xbind.scene.mesh.dmtet import DMTet, find_box
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.render import render_normals
from xbind.scene.nerf.field import HashField


def convert(field: HashField, threshold: float, resolution: int, config: ConversionConfig) -> DMTet:
    """NR_θ ⇒ DM_θ (line 7): the level set of the density, in its own tight box.

    Raises:
        EmptySurface: the density is nowhere above the threshold.
    """
    context = "Phase II, converting the NeRF of Phase I"
    low, high = find_box(
        field.density, field.config.radius, threshold,
        resolution=config.box_resolution, margin=config.box_margin,
        context=context, device=field.table.device,
    )  # fmt: skip
    return DMTet.from_density(
        field.density, low, high, resolution, threshold=threshold, smoothing=config.smoothing
    )


class GeometryPhase:
    """The mesh of Phase II with its optimiser, views and loss terms."""

    name = "geometry"

    def __init__(self, config: GeometryConfig, supervision: Supervision, dmtet: DMTet) -> None:
        self.config = config
        self.steps = config.steps
        self.dmtet = dmtet
        self.module: nn.Module = dmtet
        self.optimizer = Adan(
            dmtet.parameters(), lr=config.learning_rate, betas=config.adan.betas,
            eps=config.adan.eps, weight_decay=config.adan.weight_decay,
            max_grad_norm=config.adan.max_grad_norm,
        )  # fmt: skip
        self._supervision = supervision

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, lines 9 and 10."""
        mesh = self.dmtet.extract(f"Phase II, step {step}")
        draw = torch.rand((), generator=generator, device=generator.device)
        close = float(draw) < self.config.close_share
        cameras = draw_views(
            self.config.cameras if close else self.config.whole_cameras,
            self.config.views, generator,
        )  # fmt: skip
        normals, _ = render_normals(mesh, cameras, self.config.size)
        guidance = self.config.guidance
        hybrid = hybrid_terms(
            self._supervision, guidance, normals, cameras, step / self.steps, generator,
            planar=self.config.planar,
        )  # fmt: skip
        terms = {
            "nc": normal_consistency_loss(mesh, self.config.nc_normals),
            "ls": laplacian_loss(mesh, self.config.ls_form),
        }
        if wants_reference(guidance, step):
            camera = self._supervision.condition.reference.camera
            seen, mask = render_normals(mesh, camera, self.config.size)
            terms |= reference_terms(self._supervision, guidance, seen, mask)
        return hybrid.losses() | terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 9 to 12, L_nc and L_ls."""
        del step
        return hybrid_weights(self.config.guidance) | {
            "nc": self.config.w_nc,
            "ls": self.config.w_ls,
        }

    def preview(self) -> Tensor:
        """Four normal maps in a row."""
        with torch.no_grad():
            cameras = orbit(4, device=self.dmtet.sdf.device)
            normals, _ = render_normals(self.dmtet.extract("Preview"), cameras, self.config.size)
        return torch.cat(list(normals), -1)

    def result(self) -> Mesh:
        """The geometry that Phase III freezes: the dominant component, detached."""
        with torch.no_grad():
            mesh = self.dmtet.extract("The end of Phase II")
        return keep_dominant_component(Mesh(mesh.vertices.detach(), mesh.faces))
