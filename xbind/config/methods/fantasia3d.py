"""Fantasia3D (Chen et al. 2023) as in threestudio's configs/fantasia3d{,-texture}.yaml.

Two stages: a network of signed distances on its normal maps, from a sphere; then a physically based
material on the frozen mesh.
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
    shares,
)
from xbind.config.scene import AdamConfig, CameraRange
from xbind.config.terms import EllipsoidConfig

EARLY = 0.1
"""Share of the geometry stage in which normals and mask are the latents (threestudio)."""
NORMALS = {"weighting": "fantasia3d", "t_max": 0.5, "latent_share": EARLY}
"""Guidance of the geometry stage."""


def mini(method: MethodConfig) -> MethodConfig:
    """For priors of 64 pixels."""
    steps = shares(method, 0, 2, 1)
    colours = planar_alone(cfg_2d=10.0, t_max=0.5)
    adamw = AdamConfig(weight_decay=TORCH_DECAY)
    return replace(
        method,
        coarse=replace(method.coarse, steps=0, guidance=colours),
        geometry=one_camera(
            method.geometry, CAMERAS, steps=steps["geometry"], start="ellipsoid", form="network",
            ellipsoid=EllipsoidConfig(), field=method.coarse.field, optimizer="adam",
            learning_rate=4e-3, adam=adamw, rate_end=0.2, planar="sds", w_nc=0.0, w_ls=0.0,
            guidance=planar_alone(cfg_2d=10.0, **NORMALS),
        ),
        texture=replace(
            method.texture, steps=steps["texture"], inherit=False, material="pbr",
            learning_rate=0.01, adam=adamw, rate_end=0.2, cameras=CAMERAS,
            # not threestudio's 0.5: in so few iterations a new field does not leave grey then
            guidance=replace(colours, t_max=0.98),
        ),
    )  # fmt: skip


def public(method: MethodConfig) -> MethodConfig:
    """For the public networks."""
    cameras = CameraRange(elevation_deg=(-10.0, 45.0), distance=(3.0, 3.0), fov_y_deg=(25.0, 45.0))
    field, colours = public_field(1.0), public_guidance(t_max=0.5)
    return replace(
        method,
        coarse=replace(method.coarse, steps=0, guidance=colours),
        geometry=replace(
            public_geometry(method.geometry, cameras), steps=10_000, start="ellipsoid",
            form="network", ellipsoid=EllipsoidConfig(radii=(0.5, 0.5, 0.5), half_side=1.0),
            field=field, learning_rate=0.001, adam=ADAMW, w_nc=0.0,
            guidance=public_guidance(**NORMALS),
        ),
        texture=replace(
            method.texture, steps=5_000, views=1, inherit=False, material="pbr", field=field,
            learning_rate=0.01, adam=ADAMW, cameras=cameras, guidance=colours,
        ),
        turntable=replace(method.turntable, distance=3.0, fov_y_deg=45.0),
    )  # fmt: skip
