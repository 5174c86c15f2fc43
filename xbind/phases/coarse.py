"""Phase I of Algorithm 1 (lines 1-5): a NeRF under L_planar-S, L_stereo and L_nv."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xbind.cameras import Cameras, orbit
from xbind.nerf.field import FieldConfig, HashField
from xbind.nerf.occupancy import OccupancyConfig, OccupancyGrid
from xbind.nerf.render import NerfViews, render, surface_normals
from xbind.phases.views import (
    draw_views,
    hybrid_terms,
    hybrid_weights,
    reference_terms,
    wants_reference,
)
from xbind.presets import CoarseConfig
from xbind.regularizers import normal_vector_loss, z_variance_loss
from xbind.supervision import Supervision


class CoarsePhase:
    """What Phase I optimises, what it looks at, and what it is told."""

    name = "coarse"

    def __init__(
        self, config: CoarseConfig, supervision: Supervision, generator: torch.Generator
    ) -> None:
        self.config = config
        self.steps = config.steps
        self.field = HashField(FieldConfig(), generator=generator)
        radius = self.field.config.radius
        self.occupancy = OccupancyGrid(OccupancyConfig(), radius=radius, device=generator.device)
        self.module = nn.ModuleDict({"field": self.field, "occupancy": self.occupancy})
        self.optimizer = torch.optim.Adam(
            self.field.parameters(), config.learning_rate, betas=(0.9, 0.99)
        )
        self._supervision = supervision

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, lines 3 and 4."""
        progress = step / self.steps
        self._anneal(progress)
        self.occupancy.maintain(step, self.field.density, generator)
        cameras = draw_views(self.config.cameras, self.config.views, generator)
        views = self._render(cameras, generator)
        guidance = self.config.guidance
        terms = hybrid_terms(
            self._supervision, guidance, views.image, cameras, progress, generator,
            planar=self.config.planar,
        )  # fmt: skip
        if self.config.w_nz > 0:
            terms["nz"] = z_variance_loss(views.z_variance, views.opacity)
        terms["opacity"] = views.mask.mean()
        if self.config.w_nv > 0:
            terms["nv"] = normal_vector_loss(surface_normals(self.field, views).normals)
        if wants_reference(guidance, step):
            seen = self._render(self._supervision.condition.reference.camera, generator)
            terms |= reference_terms(self._supervision, guidance, seen.image, seen.mask)
        return terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 8 to 12; ω_nz rises linearly, as the surface forms."""
        return hybrid_weights(self.config.guidance) | {
            "nz": self.config.w_nz * step / self.steps,
            "nv": self.config.w_nv,
            "opacity": self.config.w_opacity,
        }

    def preview(self) -> Tensor:
        """Four views in a row."""
        with torch.no_grad():
            image = self._render(orbit(4, device=self.field.table.device), None).image
        return torch.cat(list(image), -1)

    def _render(self, cameras: Cameras, generator: torch.Generator | None) -> NerfViews:
        return render(
            self.field, self.occupancy, cameras, self.config.size,
            step=self.config.ray_step, generator=generator,
        )  # fmt: skip

    def _anneal(self, progress: float) -> None:
        """The learning rate falls to a fifth over the last 40 % (not in the paper)."""
        rate = self.config.learning_rate * min(1.0, 1.0 - 0.8 * (progress - 0.6) / 0.4)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
