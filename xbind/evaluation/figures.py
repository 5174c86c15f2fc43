"""Figures of views and points, each a plain function; `v` views at distinct, even azimuths."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import cosine_similarity

FRONT_DEG = 15.0
"""A view is judged a front when its estimated azimuth is within ± this."""
FRONT_CONFIDENCE = 0.6
"""Length of the estimated (cos, sin) from which an azimuth is believed, as for reference views."""
APART_DEG = 60.0
"""Two fronts are two when they are further apart than this; the views of one front are not, since
30° are judged a front and the estimator errs by about 5°."""


def right_at_1(scores: Float[Tensor, "v p"], right: Collection[int]) -> Bool[Tensor, " v"]:
    """Returns True for views whose best prompt of the pool is a correct one (R@1)."""
    return torch.isin(scores.argmax(1), torch.tensor(sorted(right)))


def mean_cosine(a: Float[Tensor, "v f"], b: Float[Tensor, " f"]) -> float:
    """CLIP-I and ARCC (Eq. 14): mean over views of the cosine, in [−1, 1]."""
    return float(cosine_similarity(a, b[None]).mean())


def iou(a: Bool[Tensor, "v s s"], b: Bool[Tensor, "v s s"]) -> float:
    """Intersection over union of silhouettes, mean over views."""
    both, either = (a & b).sum((1, 2)), (a | b).sum((1, 2))
    return float((both / either.clamp_min(1)).mean())


def best_turn(
    mask: Bool[Tensor, "v s s"], others: Sequence[Bool[Tensor, "v s s"]]
) -> tuple[float, int, int]:
    """The highest mean IoU with any of the others after any turn about z.

    Returns:
        That IoU; which of the others; by how many views it is turned: view k of `mask` looks like
        view k − turn of it.
    """
    return max(
        (iou(mask, other.roll(turn, 0)), which, turn)
        for which, other in enumerate(others)
        for turn in range(len(mask))
    )


def quarter_turn(
    image: Float[Tensor, "v 3 s s"], mask: Bool[Tensor, "v s s"]
) -> tuple[float, float]:
    """(1 − IoU, 100 · mean |Δimage|) between views a quarter turn apart: the Janus score.

    A body of revolution, and an object with a face on every side, has next to none.
    """
    turn = len(mask) // 4
    change = 100 * (image - image.roll(turn, 0)).abs().mean()
    return 1 - iou(mask, mask.roll(turn, 0)), float(change)


def count_fronts(cosine_sine: Float[Tensor, "v 2"]) -> int:
    """Returns the number of views, over `APART_DEG` apart, that are judged to show a front.

    Args:
        cosine_sine: of the azimuth that a pose estimator reads from each view.
    """
    azimuth = torch.rad2deg(torch.atan2(cosine_sine[:, 1], cosine_sine[:, 0])).abs()
    front = (azimuth <= FRONT_DEG) & (cosine_sine.norm(dim=1) > FRONT_CONFIDENCE)
    at = np.flatnonzero(front.numpy()) * 360.0 / len(front)
    return max((_spread(at, first) for first in at), default=0)


def _spread(at: np.ndarray, first: float) -> int:
    """Greedily from `first` onwards, which is the best for that start."""
    count, last = 1, 0.0
    for place in np.sort((at - first) % 360):
        if place - last > APART_DEG and 360 - place > APART_DEG:
            count, last = count + 1, place
    return count


def chamfer(a: Float[Tensor, "n 3"], b: Float[Tensor, "m 3"]) -> float:
    """Mean distance to the nearest point of the other set, mean of both ways, in scene units."""
    there, _ = cKDTree(b.numpy()).query(a.numpy())
    back, _ = cKDTree(a.numpy()).query(b.numpy())
    return float(0.5 * (there.mean() + back.mean()))


def thinned(points: Float[Tensor, "n 3"], cell: float) -> Float[Tensor, "m 3"]:
    """Returns one point per occupied grid cell, so that the density of samples does not count."""
    places = np.floor(points.numpy() / cell).astype(np.int64)
    _, first = np.unique(places, axis=0, return_index=True)
    return points[torch.from_numpy(np.sort(first))]


def turned(points: Float[Tensor, "n 3"], degrees: float) -> Float[Tensor, "n 3"]:
    """Turned about z, from +x towards +y."""
    angle = torch.deg2rad(torch.tensor(degrees))
    c, s = angle.cos(), angle.sin()
    x, y, z = points.unbind(1)
    return torch.stack([c * x - s * y, s * x + c * y, z], 1)


def kernel_distance(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> float:
    """Unbiased squared MMD with k(x, y) = (x·y / f + 1)³, as KID; may be a little below 0."""
    n, m = len(x), len(y)
    xx, yy, xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    within_x = (xx.sum() - xx.diagonal().sum()) / (n * (n - 1))
    within_y = (yy.sum() - yy.diagonal().sum()) / (m * (m - 1))
    return float(within_x + within_y - 2 * xy.mean())


def kernel_distance_of_groups(x: Float[Tensor, "g m f"], y: Float[Tensor, "h k f"]) -> float:
    """`kernel_distance` of members of groups, such as views of objects; two groups at least.

    Members of one group are alike, and are not compared with each other within x and within y.
    So it is unbiased for groups drawn at random, as `kernel_distance` is for single pictures.
    """
    return _across(x) + _across(y) - 2 * float(_kernel(x.flatten(0, 1), y.flatten(0, 1)).mean())


def _across(x: Float[Tensor, "g m f"]) -> float:
    """Mean kernel of members of different groups."""
    groups, members, _ = x.shape
    flat = x.flatten(0, 1)
    kernel = _kernel(flat, flat).view(groups, members, groups, members)
    alike = kernel.diagonal(dim1=0, dim2=2).sum()
    return float((kernel.sum() - alike) / (groups * (groups - 1) * members**2))


def kernel_distances_of_each(
    x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]
) -> Float[Tensor, " n"]:
    """Squared distance of each picture from the mean of y, in the space of the kernel of KID.

    Unlike `kernel_distance` it is defined for one picture. Pictures like those of y have their
    spread as the mean, not 0: compare with other pictures of the kind of y. The distance from the
    mean is unbiased.
    """
    m, yy = len(y), _kernel(y, y)
    within_y = (yy.sum() - yy.diagonal().sum()) / (m * (m - 1))
    own = (x.double().square().sum(1) / x.shape[1] + 1) ** 3
    return own + within_y - 2 * _kernel(x, y).mean(1)


def nearest_distances(x: Float[Tensor, "n f"], y: Float[Tensor, "m f"]) -> Float[Tensor, " n"]:
    """Root mean squared difference of each x from the nearest y."""
    return torch.cdist(x, y).amin(1) / x.shape[1] ** 0.5


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() @ b.double().mT / a.shape[1] + 1) ** 3
