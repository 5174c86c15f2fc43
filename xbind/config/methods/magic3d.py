"""Magic3D (Lin et al. 2023) as in threestudio's configs/magic3d-{coarse,refine}-sd.yaml.

Two stages: a shaded volume, then a mesh whose geometry and colours are refined together.
"""

from dataclasses import replace

from xbind.config.method import MethodConfig
from xbind.config.methods.common import (
    CAMERAS,
    one_camera,
    planar_alone,
    public_field,
    public_geometry,
    public_guidance,
    public_volume,
    shares,
    without_terms,
)
from xbind.config.scene import AdamConfig, CameraRange
from xbind.config.terms import BackgroundConfig, Ramp, RatesConfig, ShadingConfig

LATE = 0.5
"""t_max of the second stage, as a share of the schedule (threestudio)."""


def mini(method: MethodConfig) -> MethodConfig:
    """For priors of 64 pixels."""
    steps, refine = shares(method, 2, 1, 0), planar_alone(cfg_2d=10.0, t_max=LATE)
    light = ShadingConfig(light="bundle", soft=True)
    return replace(
        method,
        coarse=without_terms(
            method.coarse, steps=steps["coarse"], cameras=CAMERAS,
            rates=RatesConfig(background=0.002),
            w_orient=Ramp(start=0.01, end=1.0, last=0.5), w_sparsity=Ramp(start=0.01, end=0.01),
            shading=replace(light, albedo_until=0.2),
            guidance=planar_alone(w_2d=1.2e-3, cfg_2d=10.0, weighting="uniform"),
        ),
        geometry=one_camera(
            method.geometry, CAMERAS, steps=steps["geometry"], colour=True, optimizer="adam",
            learning_rate=0.01, colour_rate=0.01, adam=AdamConfig(), rate_end=0.2, planar="sds",
            w_nc=1.0, w_ls=0.0, shading=light, guidance=refine,
        ),
        texture=replace(method.texture, steps=0, shading=light, guidance=refine),
    )  # fmt: skip


def public(method: MethodConfig) -> MethodConfig:
    """For the public networks."""
    radius, refine = 2.0, public_guidance(t_max=LATE)
    light = ShadingConfig(light="magic3d", soft=True)
    near = CameraRange(elevation_deg=(-10.0, 45.0), distance=(1.5, 2.0), fov_y_deg=(30.0, 45.0))
    geometry = public_geometry(method.geometry, near)
    return replace(
        method,
        coarse=replace(
            public_volume(method.coarse, radius), steps=10_000,
            cameras=replace(near, fov_y_deg=(40.0, 70.0)), rates=RatesConfig(background=0.001),
            background=BackgroundConfig(kind="learned"),
            w_orient=Ramp(start=10.0, end=1000.0, last=0.5), w_sparsity=Ramp(start=1.0, end=1.0),
            shading=replace(light, albedo_until=0.2), guidance=public_guidance(weighting="uniform"),
        ),
        geometry=replace(
            geometry, steps=5_000, colour=True, learning_rate=0.01, colour_rate=0.01,
            conversion=replace(geometry.conversion, level="mean"),
            background=BackgroundConfig(kind="learned"), w_nc=10_000.0, shading=light,
            guidance=refine,
        ),
        texture=replace(method.texture, steps=0, field=public_field(radius), guidance=refine),
        turntable=replace(method.turntable, distance=2.0, fov_y_deg=70.0),
    )  # fmt: skip
