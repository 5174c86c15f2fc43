"""Phase I of Algorithm 1 (lines 1-5): a NeRF under L_planar-S, L_stereo and L_nv."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from xbind.algorithm.estimator_weights import EstimatorWeights, estimator_groups, theta_of
from xbind.algorithm.looks import PLAIN, Look, Looks
from xbind.algorithm.optimizers import Rates, field_groups, make_adam, module_group
from xbind.algorithm.supervision import Supervision
from xbind.algorithm.terms import Term, constant, ramped, values_of, weights_of
from xbind.algorithm.views import (
    draw_views,
    hybrid_terms,
    hybrid_weights,
    reference_terms,
    wants_reference,
)
from xbind.config.presets import CoarseConfig
from xbind.losses.regularizers import (
    entropy_loss,
    normal_vector_loss,
    orientation_loss,
    sparsity_loss,
    z_variance_loss,
)
from xbind.scene.cameras import Cameras, orbit
from xbind.scene.nerf.field import HashField
from xbind.scene.nerf.occupancy import OccupancyGrid
from xbind.scene.nerf.render import (
    NerfViews,
    NormalViews,
    render,
    sample_normals,
    surface_normals,
)
from xbind.scene.nerf.shade import shade_views


@dataclass(frozen=True, slots=True, eq=False)
class SeenVolume:
    """What an iteration has rendered."""

    views: NerfViews
    generator: torch.Generator
    """Source of what a term draws."""


class CoarsePhase:
    """The NeRF of Phase I with its optimiser, views and loss terms."""

    name = "coarse"

    def __init__(
        self,
        config: CoarseConfig,
        supervision: Supervision,
        field: HashField,
        looks: Looks = PLAIN,
        estimator: EstimatorWeights | None = None,
    ) -> None:
        """Set up the stage.

        Args:
            config: of the stage.
            supervision: of its views.
            field: what is optimised, in place.
            looks: light and background of the views.
            estimator: of VSD, where the loss of the 2D prior is `vsd`.
        """
        self.config = config
        self.steps = config.steps
        self.field = field
        self.occupancy = OccupancyGrid(
            config.occupancy, radius=config.field.radius, device=field.table.device
        )
        parts: dict[str, nn.Module] = {"field": self.field, "occupancy": self.occupancy}
        groups = field_groups(field, config.rates)
        if looks.learned is not None:
            parts["background"] = looks.learned
            groups += module_group(looks.learned, config.rates.background)
        if estimator is not None:
            parts["estimator"] = estimator
            groups += estimator_groups(estimator, config.guidance.estimator)
        self.module = nn.ModuleDict(parts)
        self.optimizer = make_adam(groups, config.learning_rate, config.adam)
        self._rates = Rates(self.optimizer, config)
        self._supervision, self._estimator = supervision, estimator
        self._looks = looks
        self._regularizers = self._make_regularizers()
        self._trained_levels = len(config.field.resolutions)
        if config.levels.first is not None:
            field.table.register_hook(self._of_trained_levels)

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, lines 3 and 4."""
        progress = step / self.steps
        self._rates.set(progress)
        self._trained_levels = self.config.levels.at(progress, len(self.field.table))
        self.occupancy.maintain(step, self.field.density, generator)
        cameras = draw_views(self.config.cameras, self.config.views, generator)
        look = self._looks.draw(cameras, self.config.size, progress, generator)
        views = self._render(cameras, generator, look)
        guidance = self.config.guidance
        hybrid = hybrid_terms(
            self._supervision, guidance, views.image, cameras, progress, generator,
            planar=self.config.planar, theta=theta_of(self._estimator),
        )  # fmt: skip
        terms = values_of(self._regularizers, SeenVolume(views, generator))
        if wants_reference(guidance, step):
            camera = self._supervision.condition.reference.camera
            seen = self._render(camera, generator, self._looks.still())
            terms |= reference_terms(self._supervision, guidance, seen.image, seen.mask)
        return hybrid.losses() | terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 8 to 12."""
        return hybrid_weights(self.config.guidance) | weights_of(self._regularizers, step)

    def preview(self) -> Tensor:
        """Four views in a row."""
        with torch.no_grad():
            cameras = orbit(4, device=self.field.table.device)
            image = self._render(cameras, None, self._looks.still()).image
        return torch.cat(list(image), -1)

    def _render(self, cameras: Cameras, generator: torch.Generator | None, look: Look) -> NerfViews:
        views = render(
            self.field, self.occupancy, cameras, self.config.size,
            step=self.config.ray_step, generator=generator, background=look.background,
            keep_samples=self.config.w_orient.is_used,
        )  # fmt: skip
        return replace(
            views, image=shade_views(views, look.shading, lambda: self._surface_normals(views))
        )

    def _surface_normals(self, views: NerfViews) -> NormalViews:
        return surface_normals(
            self.field, views,
            spacing=self.config.normal_spacing, least_opacity=self.config.normal_opacity,
        )  # fmt: skip

    def _of_trained_levels(self, gradient: Tensor) -> Tensor:
        """The gradient of the hash grid, 0 in levels that are not trained yet."""
        gradient = gradient.clone()
        gradient[self._trained_levels :] = 0
        return gradient

    def _make_regularizers(self) -> tuple[Term[SeenVolume], ...]:
        """The terms of rendered views that no frozen network computes."""
        config = self.config

        steps = config.steps

        def variance(seen: SeenVolume) -> Tensor:
            views = seen.views
            return z_variance_loss(views.z_variance, views.opacity, least_opacity=config.nz_opacity)

        def normal_vectors(seen: SeenVolume) -> Tensor:
            normals = self._surface_normals(seen.views).normals
            return normal_vector_loss(normals, taps=config.nv_blur_taps, sigma=config.nv_blur_sigma)

        def orientation(seen: SeenVolume) -> Tensor:
            found = sample_normals(
                self.field, seen.views, share=config.orient_share, spacing=config.normal_spacing,
                generator=seen.generator,
            )  # fmt: skip
            return orientation_loss(found.weights, found.normals, found.directions, rays=found.rays)

        def sparsity(seen: SeenVolume) -> Tensor:
            return sparsity_loss(seen.views.opacity, offset=config.sparsity_floor)

        def entropy(seen: SeenVolume) -> Tensor:
            return entropy_loss(seen.views.opacity, margin=config.entropy_margin)

        nz = Term("nz", lambda step: w_nz_at(config, step), variance)
        return (
            *((nz,) if config.w_nz > 0 else ()),
            *constant("opacity", config.w_opacity, lambda seen: seen.views.mask.mean()),
            *constant("nv", config.w_nv, normal_vectors),
            *ramped("orient", config.w_orient, steps, orientation),
            *ramped("sparsity", config.w_sparsity, steps, sparsity),
            *ramped("entropy", config.w_entropy, steps, entropy),
        )


def w_nz_at(config: CoarseConfig, step: int) -> float:
    """ω_nz: a linear ramp from 0 that takes `nz_ramp` of the iterations, then constant."""
    if config.nz_ramp == 0:
        return config.w_nz
    return min(config.w_nz, config.w_nz * step / (config.nz_ramp * config.steps))
