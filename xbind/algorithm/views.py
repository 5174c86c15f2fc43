"""Terms that more than one phase has: hybrid guidance of a view, and the reference view's loss."""

from collections.abc import Mapping

import torch
from torch import Tensor

from xbind.algorithm.supervision import TERMS, GuidedViews, Supervision
from xbind.config.options import PlanarLoss
from xbind.config.presets import CameraRange, GuidanceConfig
from xbind.losses.reference import reference_mask_loss, reference_rgb_loss
from xbind.losses.side_by_side import StartedStep, StepRunner, help_with
from xbind.networks.graphs import term_weights
from xbind.scene.cameras import Cameras, sample_cameras


def draw_views(cameras: CameraRange, count: int, generator: torch.Generator) -> Cameras:
    """Random views of one iteration."""
    return sample_cameras(
        count,
        elevation_deg=cameras.elevation_deg,
        azimuth_deg=cameras.azimuth_deg,
        distance=cameras.distance,
        fov_y_deg=cameras.fov_y_deg,
        generator=generator,
    )


LORA = "lora"
"""The term of VSD's estimator, which its guidance step computes beside L_planar."""


class HybridTerms:
    """Terms of rendered views whose guidance steps were started."""

    def __init__(self, started: Mapping[str, StartedStep], runner: StepRunner) -> None:
        self._started, self._runner = started, runner

    def losses(self) -> dict[str, Tensor]:
        """Wait for the steps, and run those that no other thread has begun."""
        help_with(self._started.values())
        losses: dict[str, Tensor] = {}
        for name, step in self._started.items():
            losses |= dict(zip((name, LORA), step.losses(), strict=False))
        self._runner.finished()
        return losses


def hybrid_terms(
    supervision: Supervision,
    config: GuidanceConfig,
    image: Tensor,
    cameras: Cameras,
    progress: float,
    generator: torch.Generator,
    *,
    planar: PlanarLoss,
    theta: Tensor | None = None,
    latents: Tensor | None = None,
) -> HybridTerms:
    """Start L_planar and L_3D-SDS of rendered views (Eq. 13), but for terms whose weight is 0.

    All that they draw is drawn now, in the order of the terms. What is computed before `losses` is
    called may be computed at the same time. `theta` is that of VSD's estimator, whose loss is the
    term `LORA`. `latents` [b,c,h,w], if any, stand for the latents of the views in L_planar.
    """
    views = GuidedViews(config, planar, image, cameras, progress, generator, theta, latents)
    weights, runner = term_weights(config), supervision.runner
    wanted = {name: term for name, term in TERMS.items() if weights[name] > 0}
    started = {name: runner.start(term(supervision, views)) for name, term in wanted.items()}
    return HybridTerms(started, runner)


def hybrid_weights(config: GuidanceConfig) -> dict[str, float]:
    """Weights of `hybrid_terms` and `reference_terms`."""
    own = {"rgb": config.w_rgb, "mask": config.w_mask, LORA: config.estimator.w_lora}
    return term_weights(config) | own


def wants_reference(config: GuidanceConfig, step: int) -> bool:
    """Returns True if this iteration also renders the reference view."""
    return step % config.reference_every == 0 and max(config.w_rgb, config.w_mask) > 0


def reference_terms(
    supervision: Supervision, config: GuidanceConfig, image: Tensor, opacity: Tensor
) -> dict[str, Tensor]:
    """L_ref (Eq. 11) of the view rendered from the reference camera."""
    reference = supervision.condition.reference.at_size(image.shape[-1])
    terms: dict[str, Tensor] = {}
    if config.w_rgb > 0:
        terms["rgb"] = reference_rgb_loss(image, reference.image, reference.mask)
    if config.w_mask > 0:
        terms["mask"] = reference_mask_loss(opacity, reference.mask)
    return terms
