"""Phase I of Algorithm 1 (lines 1-5): a NeRF under L_planar-S, L_stereo and L_nv."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xbind.algorithm.supervision import Supervision
from xbind.algorithm.views import (
    draw_views,
    hybrid_terms,
    hybrid_weights,
    reference_terms,
    wants_reference,
)
from xbind.config.presets import CoarseConfig
from xbind.losses.regularizers import normal_vector_loss, z_variance_loss
from xbind.scene.cameras import Cameras, orbit
from xbind.scene.nerf.field import HashField
from xbind.scene.nerf.occupancy import OccupancyGrid
from xbind.scene.nerf.render import NerfViews, render, surface_normals


class CoarsePhase:
    """The NeRF of Phase I with its optimiser, views and loss terms."""

    name = "coarse"

    def __init__(self, config: CoarseConfig, supervision: Supervision, field: HashField) -> None:
        self.config = config
        self.steps = config.steps
        self.field = field
        self.occupancy = OccupancyGrid(
            config.occupancy, radius=config.field.radius, device=field.table.device
        )
        self.module = nn.ModuleDict({"field": self.field, "occupancy": self.occupancy})
        self.optimizer = torch.optim.Adam(
            self.field.parameters(), config.learning_rate,
            betas=config.adam.betas, eps=config.adam.eps,
        )  # fmt: skip
        self._supervision = supervision

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, lines 3 and 4."""
        progress = step / self.steps
        rate = learning_rate_at(self.config, progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.occupancy.maintain(step, self.field.density, generator)
        cameras = draw_views(self.config.cameras, self.config.views, generator)
        views = self._render(cameras, generator)
        guidance = self.config.guidance
        hybrid = hybrid_terms(
            self._supervision, guidance, views.image, cameras, progress, generator,
            planar=self.config.planar,
        )  # fmt: skip
        terms: dict[str, Tensor] = {}
        if self.config.w_nz > 0:
            terms["nz"] = z_variance_loss(
                views.z_variance, views.opacity, least_opacity=self.config.nz_opacity
            )
        terms["opacity"] = views.mask.mean()
        if self.config.w_nv > 0:
            terms["nv"] = self._normal_vector_loss(views)
        if wants_reference(guidance, step):
            seen = self._render(self._supervision.condition.reference.camera, generator)
            terms |= reference_terms(self._supervision, guidance, seen.image, seen.mask)
        return hybrid.losses() | terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 8 to 12."""
        return hybrid_weights(self.config.guidance) | {
            "nz": w_nz_at(self.config, step),
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

    def _normal_vector_loss(self, views: NerfViews) -> Tensor:
        config = self.config
        seen = surface_normals(
            self.field, views,
            spacing=config.normal_spacing, least_opacity=config.normal_opacity,
        )  # fmt: skip
        return normal_vector_loss(
            seen.normals, taps=config.nv_blur_taps, sigma=config.nv_blur_sigma
        )


def learning_rate_at(config: CoarseConfig, progress: float) -> float:
    """Constant, then a linear decay to `rate_end` of it; `progress` is in [0, 1]."""
    start = config.rate_decay_from
    share = 1.0 - (1 - config.rate_end) * (progress - start) / (1 - start)
    return config.learning_rate * min(1.0, share)


def w_nz_at(config: CoarseConfig, step: int) -> float:
    """ω_nz: a linear ramp from 0 that takes `nz_ramp` of the iterations, then constant."""
    if config.nz_ramp == 0:
        return config.w_nz
    return min(config.w_nz, config.w_nz * step / (config.nz_ramp * config.steps))
