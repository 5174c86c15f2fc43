"""View words: which context of the 2D prior says from where a view is seen.

Directions and thresholds are those of DreamFusion's view-dependent prompts (Sec. 3.2 there), in the
form of threestudio. Azimuth 0 sees the front of an object (`xbind.scene.cameras`).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

VIEW_WORDS = ("none", "side", "front", "back", "overhead")
"""Names of the rows of a table of contexts; the first is the empty prompt's."""
NO_WORD, SIDE, FRONT, BACK, OVERHEAD = range(len(VIEW_WORDS))


def turn_of(azimuth_deg: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Angle between a view and the front, around the vertical axis: in [0, 180] degrees."""
    return ((azimuth_deg + 180) % 360 - 180).abs()


def view_rows(
    elevation_deg: Float[Tensor, " b"],
    azimuth_deg: Float[Tensor, " b"],
    *,
    front_deg: float,
    overhead_deg: float,
) -> Int[Tensor, " b"]:
    """Row of each view's word in a table of contexts, in the order of `VIEW_WORDS`.

    Args:
        elevation_deg: of the cameras.
        azimuth_deg: of the cameras, any number of turns.
        front_deg: a view is of the front below this turn, and of the back within it of 180°.
        overhead_deg: a view is from overhead above this elevation, whatever its azimuth.
    """
    turn = turn_of(azimuth_deg)
    rows = torch.full_like(turn, SIDE, dtype=torch.long)
    rows = rows.masked_fill(turn < front_deg, FRONT).masked_fill(turn > 180 - front_deg, BACK)
    return rows.masked_fill(elevation_deg > overhead_deg, OVERHEAD)
