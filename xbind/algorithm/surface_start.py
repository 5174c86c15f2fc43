"""The first shape of a surface stage: the level set of a density, or an ellipsoid."""

from xbind.config.scene import ConversionConfig
from xbind.scene.mesh.dmtet import DMTet, find_box
from xbind.scene.nerf.field import HashField


def convert(field: HashField, threshold: float, resolution: int, config: ConversionConfig) -> DMTet:
    """NR_θ ⇒ DM_θ (line 7): the level set of the density, in its own tight box.

    Raises:
        EmptySurface: the density is nowhere above the threshold.
    """
    context = "Phase II, converting the NeRF of Phase I"
    low, high = find_box(
        field.density, field.config.radius, threshold,
        resolution=config.box_resolution, margin=config.box_margin,
        context=context, device=field.table.device,
    )  # fmt: skip
    return DMTet.from_density(
        field.density, low, high, resolution, threshold=threshold, smoothing=config.smoothing
    )
