"""Cameras: the one module that knows the frame.

World: right-handed, z up, objects centred at the origin. Azimuth turns from +x towards +y; azimuth
0 sees the object's front from +x. A camera looks at the origin along its own −z (OpenGL
camera-to-world).
Images: row 0 is the top, column 0 the left; pixel (i, j) is sampled at its centre.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """A batch of `b` pinhole cameras on spheres around the origin, all looking at it."""

    elevation_deg: Float[Tensor, " b"]
    """Angle above the xy plane, in degrees, inside (−90, 90)."""
    azimuth_deg: Float[Tensor, " b"]
    """Angle from +x towards +y, in degrees."""
    distance: Float[Tensor, " b"]
    """Distance from the origin, in scene units."""
    fov_y_deg: Float[Tensor, " b"]
    """Vertical field of view, in degrees."""

    def __len__(self) -> int:
        return len(self.elevation_deg)

    def at(self, rows: slice | Int[Tensor, " n"]) -> "Cameras":
        """Some of these cameras."""
        return Cameras(
            self.elevation_deg[rows],
            self.azimuth_deg[rows],
            self.distance[rows],
            self.fov_y_deg[rows],
        )

    def position(self) -> Float[Tensor, "b 3"]:
        """Centres of projection, in the world frame."""
        elevation, azimuth = torch.deg2rad(self.elevation_deg), torch.deg2rad(self.azimuth_deg)
        on_sphere = torch.stack(
            [
                elevation.cos() * azimuth.cos(),
                elevation.cos() * azimuth.sin(),
                elevation.sin(),
            ],
            -1,
        )
        return self.distance[:, None] * on_sphere

    def camera_to_world(self) -> Float[Tensor, "b 4 4"]:
        """OpenGL camera-to-world: columns right, up, backward, position."""
        position = self.position()
        backward = torch.nn.functional.normalize(position, dim=-1)
        z_axis = torch.tensor([0.0, 0.0, 1.0], device=position.device).expand_as(position)
        right = torch.nn.functional.normalize(torch.linalg.cross(z_axis, backward), dim=-1)
        up = torch.linalg.cross(backward, right)
        c2w = torch.eye(4, device=position.device).repeat(len(self), 1, 1)
        c2w[:, :3] = torch.stack([right, up, backward, position], -1)
        return c2w

    def clip_from_world(self, near: float = 0.1, far: float = 100.0) -> Float[Tensor, "b 4 4"]:
        """World to clip space, y negated, so that row 0 of a rasterised image is its top.

        With nvdiffrast's conventions (row 0 at clip y = −1) this gives images in this module's
        orientation. The view is square.
        """
        world_to_camera = torch.linalg.inv(self.camera_to_world())
        focal = 1.0 / torch.tan(torch.deg2rad(self.fov_y_deg) / 2)
        projection = torch.zeros_like(world_to_camera)
        projection[:, 0, 0] = focal
        projection[:, 1, 1] = -focal
        projection[:, 2, 2] = -(far + near) / (far - near)
        projection[:, 2, 3] = -2 * far * near / (far - near)
        projection[:, 3, 2] = -1.0
        return projection @ world_to_camera

    def rays(self, size: int) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w 3"]]:
        """Origins and unit directions through the pixel centres of a `size` × `size` image."""
        c2w = self.camera_to_world()
        centres = (torch.arange(size, device=c2w.device) + 0.5) / size * 2 - 1
        y, x = torch.meshgrid(-centres, centres, indexing="ij")
        tan_half = torch.tan(torch.deg2rad(self.fov_y_deg) / 2)[:, None, None]
        right, up, backward = (c2w[:, None, None, :3, k] for k in range(3))
        directions = (tan_half * x)[..., None] * right + (tan_half * y)[..., None] * up - backward
        directions = torch.nn.functional.normalize(directions, dim=-1)
        origins = c2w[:, None, None, :3, 3].expand_as(directions)
        return origins, directions


def orbit(
    count: int,
    *,
    elevation_deg: float = 15.0,
    distance: float = 2.5,
    fov_y_deg: float = 40.0,
    device: torch.device | str = "cpu",
) -> Cameras:
    """`count` cameras at distinct, evenly spaced azimuths, the first one at azimuth 0."""
    full = torch.full((count,), 1.0, device=device)
    return Cameras(
        elevation_deg * full,
        torch.arange(count, device=device) * (360.0 / count),
        distance * full,
        fov_y_deg * full,
    )


def sample_cameras(
    count: int,
    *,
    elevation_deg: tuple[float, float],
    azimuth_deg: tuple[float, float],
    distance: tuple[float, float],
    fov_y_deg: tuple[float, float],
    generator: torch.Generator,
) -> Cameras:
    """Draw cameras uniformly from ranges in degrees and scene units.

    The azimuths are stratified: one in each of `count` equal parts of the range, in random order
    of phase, so that the views of one iteration never coincide. They live on the generator's
    device.
    """
    device = generator.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    low, high = azimuth_deg
    drawn = torch.rand(count, generator=generator, device=device)
    strata = (torch.arange(count, device=device) + drawn) / count
    phase = torch.rand((), generator=generator, device=device)
    return Cameras(
        uniform(*elevation_deg),
        low + (high - low) * ((strata + phase) % 1.0),
        uniform(*distance),
        uniform(*fov_y_deg),
    )


def relative_pose(target: Cameras, reference: Cameras) -> Float[Tensor, "b 4"]:
    """Zero-1-to-3's camera vector: [elev_ref − elev, sin Δaz, cos Δaz, r − r_ref], in radians.

    `reference` holds one camera, or as many as `target`. Δaz = azimuth − azimuth of the reference.
    """
    delta_elevation = torch.deg2rad(reference.elevation_deg - target.elevation_deg)
    delta_azimuth = torch.deg2rad(target.azimuth_deg - reference.azimuth_deg)
    return torch.stack(
        [
            delta_elevation,
            delta_azimuth.sin(),
            delta_azimuth.cos(),
            target.distance - reference.distance,
        ],
        -1,
    )


OWN_POSE_SCALE = 4.0
"""By which the mini bundle's 3D prior is told a view's own pose: a left and a right view differ in
nothing else, and small inputs are learnt late."""


def turned_pose(seen: Float[Tensor, "b 3"], relative: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3"]:
    """A view's own pose, from the reference's and the way from there.

    Args:
        seen: the reference's elevation / 45°, cos and sin of its azimuth, the last two shorter the
            less they are known.
        relative: what `relative_pose` returned.

    Returns:
        The same three numbers of the view.
    """
    elevation, cosine, sine = seen.unbind(-1)
    lower, turn_sine, turn_cosine, _ = relative.unbind(-1)
    return torch.stack(
        [
            elevation - lower / (math.pi / 4),
            cosine * turn_cosine - sine * turn_sine,
            sine * turn_cosine + cosine * turn_sine,
        ],
        -1,
    )
