"""Appearance of a finished surface: its colours under the light in which they are seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xbind.config.options import Material
from xbind.config.terms import PbrConfig
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField, SurfaceMaterial, pbr
from xbind.scene.sky import Sky

MaterialAt = Callable[[Float[Tensor, "p 3"]], SurfaceMaterial]
"""World positions to the material there."""


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Colours of surface points: plain ones, an albedo under light, or a material under a sky."""

    base_at: Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p 3"]]
    """World positions to colours in [0, 1]: what is shown, or with a light the albedo, or the base
    colour of a material."""
    light: Light | None = None
    """Light in which the surface is seen; None shows `base_at` as it is."""
    material_at: MaterialAt | None = None
    """The whole material; only with a light, of which it sees the sky."""
    reflectance: float = PbrConfig().reflectance
    """Of a material that is not metal, at normal incidence."""

    @classmethod
    def of_material(cls, field: MaterialField, light: Light | None) -> "Appearance":
        """A material under the bundle's light, or that of its configuration where there is none."""
        light = light or sky_light(field.ranges)
        return cls(lambda x: field(x).base_colour, light, field, field.ranges.reflectance)

    def light_of(self, material: Material) -> Light | None:
        """The light that a file of a material names, from which its other texture follows.

        None for the unlit texture of a material, which shows more than a base colour under light.
        """
        return None if self.material_at is not None and material == "unlit" else self.light

    def at(self, places: Callable[[Tensor], Tensor]) -> "Appearance":
        """The appearance of other positions, such as those nearest on another surface."""
        base_at, material_at = self.base_at, self.material_at
        return replace(
            self,
            base_at=lambda x: base_at(places(x)),
            material_at=None if material_at is None else lambda x: material_at(places(x)),
        )

    def seen(
        self,
        positions: Float[Tensor, "p 3"],
        normals: Float[Tensor, "p 3"],
        towards: Float[Tensor, "p 3"] | None = None,
    ) -> Float[Tensor, "p 3"]:
        """Returns colours in [0, 1] of surface points.

        Args:
            positions: in the world frame.
            normals: unit, outwards.
            towards: unit directions to the camera; None looks at each point along its normal, for a
                texture that is the same from everywhere. Only a material's gloss depends on them.
        """
        if self.light is None:
            return self.base_at(positions)
        if self.material_at is None:
            return (self.base_at(positions) * self.light.on(normals)[:, None]).clamp(0, 1)
        material, sky = self.material_at(positions), Sky.under(self.light, positions.device)
        towards = normals if towards is None else towards
        return pbr(material, normals, towards, sky, reflectance=self.reflectance)

    def in_views(
        self, eyes: Float[Tensor, "b 3"]
    ) -> Callable[
        [Float[Tensor, "p 3"], Float[Tensor, "p 3"], Int64[Tensor, " p"]], Float[Tensor, "p 3"]
    ]:
        """A shader of `shade_with` for cameras at `eyes`, in the world frame."""

        def shader(positions: Tensor, normals: Tensor, view: Tensor) -> Tensor:
            towards = torch.nn.functional.normalize(eyes[view] - positions, dim=-1)
            return self.seen(positions, normals, towards)

        return shader


def sky_light(config: PbrConfig) -> Light:
    """The light on a material where the bundle names none: half-Lambert, as a bright sky."""
    return Light(config.sky_direction, config.sky_ambient, wrap=1.0)
