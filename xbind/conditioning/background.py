"""An object told from a studio background: a colour, a gradient, a vignette, with some noise.

The background is a smooth function of the place, fitted to the picture's border; what lies away
from it is the object. Pictures with a scene behind the object cannot be told so, and are refused.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xbind.errors import XBindError

NEAR = 0.08
"""Distance (Euclidean, RGB in [0, 1]) up to which a colour is the background's in any picture."""
SPREADS = 4.0
"""The same in standard deviations of the border around the fit, for noisy pictures."""
UNEVEN = 0.25
"""From this distance on nothing can be told: the border is not smooth."""
OUTLIERS = 0.25
"""Share of the border that may be something else than background, such as an object that is cut."""
SPECK_SHARE = 0.02
"""Regions smaller than this share of the largest one are specks, not parts."""
SMALLEST, LARGEST = 0.03, 0.8
"""Share of the picture that an object covers."""


class NoObject(XBindError):
    """No object can be told from the background; the message says why, in a clause."""


Pixels = NDArray[np.float32]


def cut_out(pixels: Pixels) -> NDArray[np.bool_]:
    """The object's mask [h, w] in a picture [3, h, w] of values in [0, 1]; its holes stay open.

    Raises:
        NoObject: the border shows no smooth background, or nothing stands out from it.
    """
    ring = border_ring(pixels.shape[1:])
    away = pixels - fit_border(pixels, ring)
    spread = colour_spread(away[:, ring])
    if spread > NEAR / SPREADS:  # noise: a median of neighbours has less of it, and keeps edges
        away = ndimage.median_filter(away, (1, 5, 5))
        spread = colour_spread(away[:, ring])
    limit = max(NEAR, SPREADS * spread)
    if limit > UNEVEN:
        raise NoObject("its border has no plain colour, but many")
    found = np.linalg.norm(away, axis=0) > limit
    if found[ring].mean() > OUTLIERS:
        raise NoObject("its border has no plain colour all around")
    return solid(found)


def solid(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A raw mask without specks.

    Raises:
        NoObject: nothing is left, or nearly everything.
    """
    labels, count = ndimage.label(ndimage.binary_opening(found), structure=np.ones((3, 3)))
    if count == 0:
        raise NoObject("nothing in it differs from its border")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: NDArray[np.bool_] = (sizes >= SPECK_SHARE * sizes.max())[labels] & (labels > 0)
    if not SMALLEST <= kept.mean() <= LARGEST:
        raise NoObject(f"what differs from its border covers {kept.mean():.1%} of it")
    return kept


def border_ring(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The border: a thirty-second of the picture on each side."""
    ring = np.ones(shape, bool)
    width = max(1, min(shape) // 32)
    ring[width:-width, width:-width] = False
    return ring


def polynomials(shape: tuple[int, ...], degree: int) -> NDArray[np.float64]:
    """The monomials x^i y^j, i + j ≤ degree, over a picture whose sides run from −1 to 1."""
    height, width = shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([x ** (n - j) * y**j for n in range(degree + 1) for j in range(n + 1)])


def fit_border(pixels: Pixels, ring: NDArray[np.bool_]) -> Pixels:
    """A quadratic in the place for each channel, by least squares that leave out what is far off.

    Args:
        pixels: [3, h, w] in [0, 1].
        ring: [h, w], the pixels to fit.

    Raises:
        NoObject: too little of the border agrees on one.
    """
    terms = polynomials(ring.shape, 2)
    places, colours = terms[:, ring].T, pixels[:, ring].T
    # The median colour is where the search begins: an object at the border must not pull at it.
    residual = np.linalg.norm(colours - np.median(colours, axis=0), axis=1)
    for _ in range(8):
        agrees = residual <= max(NEAR / 2, 2.5 * 1.4826 * float(np.median(residual)))
        fit = np.linalg.lstsq(places[agrees], colours[agrees], rcond=None)[0]
        residual = np.linalg.norm(colours - places @ fit, axis=1)
    if agrees.mean() < 1 - OUTLIERS:
        raise NoObject("its border has no plain colour nor one that changes smoothly")
    return np.einsum("chw,ck->khw", terms, fit).astype(np.float32)


def colour_spread(residual: NDArray[np.float32]) -> float:
    """Standard deviation of the border's colour distance, whatever a cut object adds to it."""
    return 1.4826 * float(np.median(np.linalg.norm(residual, axis=0))) / 1.54
