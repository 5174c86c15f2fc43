"""ProlificDreamer (Wang et al. 2023) as in threestudio's configs/prolificdreamer{,-geometry,
-texture}.yaml.

Three stages: a volume under VSD, geometry on normal maps under SDS, a new texture under VSD.
"""

from dataclasses import replace

from xbind.config.method import MethodConfig
from xbind.config.methods.common import (
    ADAMW,
    CAMERAS,
    TORCH_DECAY,
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
from xbind.config.terms import BackgroundConfig, EstimatorConfig, Ramp, RatesConfig

LATE = 0.5
"""t_max after the switch, as a share of the schedule (threestudio)."""


def mini(method: MethodConfig) -> MethodConfig:
    """For priors of 64 pixels."""
    steps = shares(method, 5, 3, 6)
    adamw = AdamConfig(weight_decay=TORCH_DECAY)
    return replace(
        method,
        coarse=without_terms(
            method.coarse, steps=steps["coarse"], cameras=CAMERAS, adam=adamw, planar="vsd",
            rates=RatesConfig(network=0.004, background=0.002),
            # more of either makes the object vanish: VSD pulls less than SDS
            w_sparsity=Ramp(start=0.005, end=0.005),
            guidance=planar_alone(cfg_2d=7.5, front_deg=30.0, t_max_late=LATE, late_from=0.2),
        ),
        geometry=one_camera(
            method.geometry, CAMERAS, steps=steps["geometry"], optimizer="adam",
            learning_rate=0.005, adam=AdamConfig(), rate_end=0.2, planar="sds",
            guidance=planar_alone(cfg_2d=5.0, t_max_late=LATE, late_from=1 / 3),
        ),
        texture=replace(
            method.texture, steps=steps["texture"], inherit=False, learning_rate=0.02, adam=adamw,
            rate_end=0.2, rates=RatesConfig(network=0.004), cameras=CAMERAS, planar="vsd",
            guidance=planar_alone(cfg_2d=7.5, front_deg=30.0, t_max_late=LATE, late_from=0.5),
        ),
    )  # fmt: skip


def public(method: MethodConfig) -> MethodConfig:
    """For the public networks."""
    cameras = CameraRange(elevation_deg=(-10.0, 45.0), distance=(1.0, 1.5), fov_y_deg=(40.0, 70.0))
    rates, field = RatesConfig(network=0.001, background=0.001), public_field(1.0)
    vsd = public_guidance(
        cfg_2d=7.5, front_deg=30.0, t_max_late=LATE, late_from=0.2,
        estimator=EstimatorConfig(learning_rate=1e-4),
    )  # fmt: skip
    return replace(
        method,
        coarse=replace(
            public_volume(method.coarse, 1.0), steps=25_000, cameras=cameras, adam=ADAMW,
            rates=rates, planar="vsd", background=BackgroundConfig(kind="learned_or_random"),
            w_sparsity=Ramp(start=10.0, end=10.0),
            w_entropy=Ramp(end=1000.0, first=0.4, last=0.4), guidance=vsd,
        ),
        geometry=replace(
            public_geometry(method.geometry, cameras), steps=15_000, learning_rate=0.005,
            w_nc=10_000.0, w_ls=10_000.0,
            guidance=public_guidance(t_max_late=LATE, late_from=1 / 3),
        ),
        texture=replace(
            method.texture, steps=30_000, views=1, inherit=False, field=field, learning_rate=0.01,
            adam=ADAMW, rates=rates, cameras=cameras, planar="vsd",
            background=BackgroundConfig(kind="learned"), guidance=replace(vsd, late_from=1 / 6),
        ),
        turntable=replace(method.turntable, distance=1.5, fov_y_deg=70.0),
    )  # fmt: skip
