"""What the systems of Table II share: guidance by the 2D prior alone, cameras, a field."""

import math
from dataclasses import replace
from typing import Any

from xbind.config.method import CoarseConfig, GeometryConfig, GuidanceConfig, MethodConfig
from xbind.config.presets import THREESTUDIO_FIELD
from xbind.config.scene import (
    AdamConfig,
    CameraRange,
    ConversionConfig,
    FieldConfig,
    OccupancyConfig,
)

CAMERAS = CameraRange(elevation_deg=(-10.0, 45.0))
"""Views of the mini bundle: the distance and field of view that its priors know, threestudio's
elevations."""
TORCH_DECAY = 0.01
"""Decay of torch's AdamW, where a source names none."""
ADAM = AdamConfig(betas=(0.9, 0.99), eps=1e-15)
"""threestudio's Adam."""
ADAMW = replace(ADAM, weight_decay=TORCH_DECAY)
"""threestudio's AdamW."""
SAMPLES = 512
"""Samples over the diagonal of the box (threestudio's num_samples_per_ray)."""
LEAST_ALPHA = 0.01
"""Opacity of a sample below which threestudio skips it (nerfacc)."""
FINEST = 4096
"""Cells along a side of the finest grid (threestudio)."""
SHOWN_PX = 512
"""Side of the images that threestudio shows the 2D prior, in pixels."""


def planar_alone(**numbers: Any) -> GuidanceConfig:  # noqa: ANN401
    """Guidance by the 2D prior in its latents, with view words: no reference view, no L_MS, no x̂.

    Timesteps are uniform on 0.02 … 0.98, as in all systems of threestudio.

    Args:
        numbers: settings of `GuidanceConfig` that differ.
    """
    given: dict[str, Any] = {
        "w_2d": 6e-4,
        "weighting": "sds",
        "t_min": 0.02,
        "t_max": 0.98,
    } | numbers
    return GuidanceConfig(
        w_3d=0.0, w_img=0.0, w_img_3d=0.0, w_ms=0.0, w_rgb=0.0, w_mask=0.0, timesteps="uniform",
        view_words=True, **given,
    )  # fmt: skip


def public_guidance(**numbers: Any) -> GuidanceConfig:  # noqa: ANN401
    """The same for the public networks: weight 1 of a gradient that is a sum, guidance scale 100.

    threestudio's SDS adds s (ε_c − ε_u) to ε_c and not to ε_u, so its 100 is 101 here.
    """
    given: dict[str, Any] = {"w_2d": 1.0, "cfg_2d": 101.0, "size_2d": SHOWN_PX} | numbers
    return planar_alone(**given)


def without_terms(config: CoarseConfig, **numbers: Any) -> CoarseConfig:  # noqa: ANN401
    """A volume without the regularisers of XBind; `numbers` differ as well."""
    given: dict[str, Any] = {"w_nz": 0.0, "w_nv": 0.0, "w_opacity": 0.0} | numbers
    return replace(config, **given)


def public_field(radius: float) -> FieldConfig:
    """threestudio's hash grid with one hidden layer, in a box of this half side."""
    return replace(THREESTUDIO_FIELD, radius=radius, hidden_layers=1)


def public_volume(config: CoarseConfig, radius: float) -> CoarseConfig:
    """A volume with threestudio's field and samples, at a constant rate of Adam."""
    ray_step = 2 * math.sqrt(3) * radius / SAMPLES
    return without_terms(
        config, views=1, size=64, learning_rate=0.01, rate_end=1.0, adam=ADAM,
        field=public_field(radius), ray_step=ray_step,
        occupancy=OccupancyConfig(interval=16, decay=0.95, threshold=LEAST_ALPHA / ray_step),
        normal_spacing=2 * radius / FINEST, threshold=25.0,
    )  # fmt: skip


def one_camera(config: GeometryConfig, cameras: CameraRange, **numbers: Any) -> GeometryConfig:  # noqa: ANN401
    """A geometry stage whose views are all drawn from the same ranges."""
    given: dict[str, Any] = {
        "cameras": cameras,
        "whole_cameras": cameras,
        "close_share": 1.0,
    } | numbers
    return replace(config, **given)


def public_geometry(config: GeometryConfig, cameras: CameraRange) -> GeometryConfig:
    """A geometry stage of 128³ cells and 512 pixels with threestudio's Adam and regulariser."""
    return one_camera(
        config, cameras, views=1, size=SHOWN_PX, resolution=128,
        conversion=ConversionConfig(smoothing=0), optimizer="adam", adam=ADAM,
        nc_normals="vertex", ls_form="sum-norm", w_ls=0.0, planar="sds",
    )  # fmt: skip


def shares(method: MethodConfig, coarse: int, geometry: int, texture: int) -> dict[str, int]:
    """Stage → iterations: the method's iterations in all, in these proportions."""
    whole = method.coarse.steps + method.geometry.steps + method.texture.steps
    parts = coarse + geometry + texture
    first, both = (round(whole * part / parts) for part in (coarse, coarse + geometry))
    return {"coarse": first, "geometry": both - first, "texture": whole - both}
