"""Lights: how much of its albedo a surface shows, by its normal.

Every light is white and diffuse, a factor of the albedo: an ambient share, and a share that depends
on the angle of the normal n and the direction l towards the light. Nothing casts a shadow.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from xbind.config.light import LightFigures


class LightSource(Protocol):
    """A light as shading uses it."""

    def factor(
        self,
        normals: Float[Tensor, "n 3"],
        points: Float[Tensor, "n 3"],
        view: Int64[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """Light on surface points, as a factor of their albedo.

        Args:
            normals: unit outward normals, in the world frame.
            points: world positions.
            view: index of the view that shows each point.
        """


@dataclass(frozen=True, slots=True)
class Light(LightFigures):
    """Directional light of a bundle's training pictures, as `LightFigures` has it."""

    def on(self, normals: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """L of unit normals, differentiable in them."""
        cosine = normals @ normals.new_tensor(self.direction)
        directed = ((cosine + self.wrap) / (1 + self.wrap)).clamp_min(0)
        return self.ambient + (1 - self.ambient) * directed

    def factor(
        self,
        normals: Float[Tensor, "n 3"],
        points: Float[Tensor, "n 3"],
        view: Int64[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """See `LightSource.factor`."""
        del points, view
        return self.on(normals)


@dataclass(frozen=True, slots=True, eq=False)
class PointLights:
    """One point light per view, without falloff (DreamFusion).

    L(n) = a + d · max(0, n · l)
    """

    positions: Float[Tensor, "b 3"]
    """In the world frame, in scene units."""
    ambient: float
    """a, in [0, 1]."""
    diffuse: float
    """d, in [0, 1]."""

    def factor(
        self,
        normals: Float[Tensor, "n 3"],
        points: Float[Tensor, "n 3"],
        view: Int64[Tensor, " n"],
    ) -> Float[Tensor, " n"]:
        """See `LightSource.factor`; differentiable in `normals` and `points`."""
        towards = functional.normalize(self.positions[view] - points, dim=-1)
        cosine = (normals * towards).sum(-1)
        return self.ambient + self.diffuse * cosine.clamp_min(0)


def lights_near_cameras(
    cameras: Float[Tensor, "b 3"],
    distance: tuple[float, float],
    spread: float,
    generator: torch.Generator,
) -> Float[Tensor, "b 3"]:
    """Draws light positions around the cameras' directions: along c + N(0, spread²)³ (DreamFusion).

    Args:
        cameras: camera positions c.
        distance: least and most distance of a light from the origin, drawn uniformly.
        spread: standard deviation of the noise, in scene units (threestudio: 1).
        generator: source of the draws.
    """
    noise = spread * torch.randn(cameras.shape, generator=generator, device=generator.device)
    return functional.normalize(cameras + noise, dim=-1) * _lengths(cameras, distance, generator)


def lights_in_cone(
    cameras: Float[Tensor, "b 3"],
    distance: tuple[float, float],
    half_angle_deg: float,
    generator: torch.Generator,
) -> Float[Tensor, "b 3"]:
    """Draws light positions within an angle of the cameras' directions (Magic3D).

    The angle to the axis is uniform in [0, half_angle], the turn around it uniform.

    Args:
        cameras: camera positions; the axis of each cone runs through one.
        distance: least and most distance of a light from the origin, drawn uniformly.
        half_angle_deg: largest angle to the axis, in degrees (Magic3D: 60).
        generator: source of the draws.
    """
    axis = functional.normalize(cameras, dim=-1)
    # any direction that is not along the axis completes the frame
    helper = torch.eye(3, device=axis.device)[axis.abs().argmin(-1)]
    across = functional.normalize(torch.linalg.cross(axis, helper), dim=-1)
    other = torch.linalg.cross(axis, across)
    angle, turn = torch.rand(2, len(axis), 1, generator=generator, device=generator.device)
    angle, turn = math.radians(half_angle_deg) * angle, 2 * math.pi * turn
    side = turn.cos() * across + turn.sin() * other
    lengths = _lengths(cameras, distance, generator)
    return (angle.cos() * axis + angle.sin() * side) * lengths


def _lengths(
    cameras: Float[Tensor, "b 3"], distance: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "b 1"]:
    low, high = distance
    drawn = torch.rand(len(cameras), 1, generator=generator, device=generator.device)
    return low + (high - low) * drawn
