"""DreamFusion (Poole et al. 2022) as in threestudio's configs/dreamfusion-sd.yaml.

One stage: a shaded volume under SDS. The mesh is its level set, with the colours that it shows.
"""

from dataclasses import replace

from xbind.config.method import MethodConfig
from xbind.config.methods.common import (
    CAMERAS,
    planar_alone,
    public_field,
    public_guidance,
    public_volume,
    shares,
    without_terms,
)
from xbind.config.scene import CameraRange
from xbind.config.terms import BackgroundConfig, LevelsConfig, Ramp, RatesConfig, ShadingConfig


def mini(method: MethodConfig) -> MethodConfig:
    """For priors of 64 pixels."""
    steps, guidance = shares(method, 1, 0, 0), planar_alone(cfg_2d=10.0)
    light = ShadingConfig(light="bundle", albedo_until=0.2)
    return replace(
        method,
        coarse=without_terms(
            method.coarse, steps=steps["coarse"], cameras=CAMERAS,
            rates=RatesConfig(background=0.002),
            w_orient=Ramp(start=0.01, end=1.0, last=0.5), w_sparsity=Ramp(start=0.05, end=0.05),
            shading=light, guidance=guidance,
        ),
        geometry=replace(method.geometry, steps=0, planar="sds", guidance=guidance),
        texture=replace(method.texture, steps=0, shading=light, guidance=guidance),
    )  # fmt: skip


def public(method: MethodConfig) -> MethodConfig:
    """For the public networks."""
    guidance, radius = public_guidance(), 2.0
    light = ShadingConfig(light="dreamfusion", albedo_until=0.2)
    return replace(
        method,
        coarse=replace(
            public_volume(method.coarse, radius), steps=10_000,
            cameras=CameraRange(
                elevation_deg=(-10.0, 45.0), distance=(1.5, 2.0), fov_y_deg=(40.0, 70.0)
            ),
            rates=RatesConfig(background=0.001), levels=LevelsConfig(first=8),
            background=BackgroundConfig(kind="learned"),
            w_orient=Ramp(start=10.0, end=1000.0, last=0.5), w_sparsity=Ramp(start=1.0, end=1.0),
            shading=light, guidance=guidance,
        ),
        geometry=replace(method.geometry, steps=0, resolution=128, planar="sds", guidance=guidance),
        texture=replace(method.texture, steps=0, field=public_field(radius), guidance=guidance),
        turntable=replace(method.turntable, distance=2.0, fov_y_deg=70.0),
    )  # fmt: skip
