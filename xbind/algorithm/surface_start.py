"""The first shape of a surface stage: the level set of a density, or an ellipsoid."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xbind.config.method import GeometryConfig
from xbind.config.scene import ConversionConfig
from xbind.scene.mesh.dmtet import DMTet, find_box, mean_density
from xbind.scene.mesh.network_sdf import NetworkSdf, ellipsoid_distance
from xbind.scene.nerf.field import HashField


def first_shape(
    config: GeometryConfig, coarse: HashField, threshold: float, generator: torch.Generator
) -> DMTet | NetworkSdf:
    """The shape with which the geometry stage starts (line 7 of Algorithm 1).

    Args:
        config: of the stage.
        coarse: field of the coarse stage; only where the geometry starts from it.
        threshold: density of its surface, in inverse scene units.
        generator: draws the first weights of a network.

    Raises:
        EmptySurface: the density is nowhere above its level.
    """
    if config.form == "network":
        return _network(config, generator)
    if config.start == "coarse":
        return convert(coarse, threshold, config.resolution, config.conversion)
    start = config.ellipsoid
    corner = torch.full((3,), start.half_side, device=generator.device)
    return DMTet.from_sdf(
        lambda x: ellipsoid_distance(x, start.radii), -corner, corner, config.resolution
    )


def saved_shape(
    config: GeometryConfig, state: Mapping[str, Any], generator: torch.Generator
) -> DMTet | NetworkSdf:
    """The shape of a checkpoint, before its parameters are set to the saved ones.

    Args:
        config: of the stage.
        state: of the stage's module; a grid's box and cells are read from it.
        generator: draws the weights of a network, which the saved ones replace.
    """
    if config.form == "network":
        return _network(config, generator)
    return DMTet.from_state(part_of_state(state, "shape")).to(generator.device)


def _network(config: GeometryConfig, generator: torch.Generator) -> NetworkSdf:
    start = config.ellipsoid
    return NetworkSdf(
        config.field, start.radii, start.half_side, config.resolution, generator=generator
    )


def part_of_state(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Returns the state of one part of a stage's module, which may consist of that part alone."""
    prefix = f"{part}."
    found = {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
    return found or dict(state)


def convert(field: HashField, threshold: float, resolution: int, config: ConversionConfig) -> DMTet:
    """NR_θ ⇒ DM_θ (line 7): the level set of the density, in its own tight box.

    Args:
        field: the density.
        threshold: level of the surface, unless `config` takes the mean density.
        resolution: cells along the longest side of the box.
        config: search of the box, level, smoothing.

    Raises:
        EmptySurface: the density is nowhere above its level.
    """
    context, device = "Phase II, converting the NeRF of Phase I", field.table.device
    if config.level == "mean":
        threshold = mean_density(
            field.density, field.config.radius, resolution=config.box_resolution,
            least_density=config.least_density, device=device,
        )  # fmt: skip
    low, high = find_box(
        field.density, field.config.radius, threshold,
        resolution=config.box_resolution, margin=config.box_margin,
        context=context, device=device,
    )  # fmt: skip
    return DMTet.from_density(
        field.density, low, high, resolution, threshold=threshold, smoothing=config.smoothing
    )
