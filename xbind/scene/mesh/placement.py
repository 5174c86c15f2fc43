"""Placement of an object in its file: origin, axes and scale.

The scene is z-up with its front towards +x. Files are y-up with the front towards +z, as glTF asks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xbind.config.options import Pivot
from xbind.errors import XBindError


class MeshFileError(XBindError):
    """A mesh that cannot be exported."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Uniform scale and shift from the scene to a file: file = scale · (scene − origin).

    Both sides are y-up; the default leaves the object where it is.
    """

    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Point of the scene that becomes the file's origin, y-up, in scene units."""
    scale: float = 1.0
    """Units of the file in one scene unit."""

    def apply(self, positions: Float[NDArray[Any], "v 3"]) -> Float[NDArray[Any], "v 3"]:
        """From the scene (y-up) to the file; float32, computed in float64."""
        moved = self.scale * (positions.astype(np.float64) - self.origin)
        return np.ascontiguousarray(moved, np.float32)

    def undo(self, positions: Float[NDArray[Any], "v 3"]) -> Float[NDArray[Any], "v 3"]:
        """From the file back to the scene (y-up); float32, computed in float64."""
        moved = positions.astype(np.float64) / self.scale + self.origin
        return np.ascontiguousarray(moved, np.float32)

    def plain(self) -> dict[str, Any]:
        """Returns the placement as JSON data."""
        return {"scale": self.scale, "origin": list(self.origin)}

    @classmethod
    def from_plain(cls, value: object) -> "Placement":
        """Reads what `plain` gave.

        Raises:
            ValueError: it is not a finite origin and a positive finite scale.
        """
        if isinstance(value, dict) and value.keys() == {"scale", "origin"}:
            numbers = np.array([value["scale"], *value["origin"]], np.float64)
            if numbers.shape == (4,) and np.isfinite(numbers).all() and numbers[0] > 0:
                scale, x, y, z = numbers.tolist()
                return cls((x, y, z), scale)
        raise ValueError(f"no placement: {value!r}")


IN_PLACE = Placement()
"""Leaves the object where it is in the scene."""


def place(vertices: Float[Tensor, "v 3"], pivot: Pivot, height: float | None = None) -> Placement:
    """Returns the placement that puts the pivot of an object at the file's origin.

    Args:
        vertices: positions in the scene's frame (z-up), at least one.
        pivot: of the bounding box, the middle of its bottom face (`base`) or its centre (`center`).
        height: extent along the vertical in the file, in metres; by default one scene unit is
            one metre.

    Raises:
        MeshFileError: a height is given, and the object has none.
    """
    corners = y_up(vertices).astype(np.float64)
    low, high = corners.min(0), corners.max(0)
    x, y, z = ((low + high) / 2).tolist()
    extent = float(high[1] - low[1])
    if height is not None and extent <= 0:
        raise MeshFileError(
            f"The mesh is flat, so it cannot be scaled to a height of {height} m.\n"
            f"Leave out --height."
        )
    scale = 1.0 if height is None else height / extent
    return Placement((x, float(low[1]) if pivot == "base" else y, z), scale)


def y_up(x: Float[Tensor, "v 3"]) -> NDArray[np.float32]:
    """From z up and front +x to y up and front +z."""
    return np.ascontiguousarray(x.numpy()[:, [1, 2, 0]])


def z_up(x: Float[NDArray[Any], "v 3"]) -> NDArray[np.float32]:
    """From y up and front +z to z up and front +x."""
    return np.ascontiguousarray(x[:, [2, 0, 1]], np.float32)
