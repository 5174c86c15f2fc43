"""Phase I of Algorithm 1 (lines 1-5): a NeRF under L_planar-S, L_stereo and L_nv."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xbind.algorithm.optimizers import Rates, field_groups, make_adam
from xbind.algorithm.supervision import Supervision
from xbind.algorithm.terms import Term, constant, values_of, weights_of
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
        groups = field_groups(field, config.rates)
        self.optimizer = make_adam(groups, config.learning_rate, config.adam)
        self._rates = Rates(self.optimizer, config)
        self._supervision = supervision
        self._regularizers = self._make_regularizers()

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, lines 3 and 4."""
        progress = step / self.steps
        self._rates.set(progress)
        self.occupancy.maintain(step, self.field.density, generator)
        cameras = draw_views(self.config.cameras, self.config.views, generator)
        views = self._render(cameras, generator)
        guidance = self.config.guidance
        hybrid = hybrid_terms(
            self._supervision, guidance, views.image, cameras, progress, generator,
            planar=self.config.planar,
        )  # fmt: skip
        terms = values_of(self._regularizers, views)
        if wants_reference(guidance, step):
            seen = self._render(self._supervision.condition.reference.camera, generator)
            terms |= reference_terms(self._supervision, guidance, seen.image, seen.mask)
        return hybrid.losses() | terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 8 to 12."""
        return hybrid_weights(self.config.guidance) | weights_of(self._regularizers, step)

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

    def _make_regularizers(self) -> tuple[Term[NerfViews], ...]:
        """The terms of rendered views that no frozen network computes."""
        config = self.config

        def variance(views: NerfViews) -> Tensor:
            return z_variance_loss(views.z_variance, views.opacity, least_opacity=config.nz_opacity)

        def normal_vectors(views: NerfViews) -> Tensor:
            seen = surface_normals(
                self.field, views,
                spacing=config.normal_spacing, least_opacity=config.normal_opacity,
            )  # fmt: skip
            return normal_vector_loss(
                seen.normals, taps=config.nv_blur_taps, sigma=config.nv_blur_sigma
            )

        nz = Term("nz", lambda step: w_nz_at(config, step), variance)
        return (
            *((nz,) if config.w_nz > 0 else ()),
            *constant("opacity", config.w_opacity, lambda views: views.mask.mean()),
            *constant("nv", config.w_nv, normal_vectors),
        )


def w_nz_at(config: CoarseConfig, step: int) -> float:
    """ω_nz: a linear ramp from 0 that takes `nz_ramp` of the iterations, then constant."""
    if config.nz_ramp == 0:
        return config.w_nz
    return min(config.w_nz, config.w_nz * step / (config.nz_ramp * config.steps))
