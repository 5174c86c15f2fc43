"""The background behind an object in a user's picture, and how far each pixel is from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xbind.conditioning.background import (
    NEAR,
    OUTLIERS,
    SPREADS,
    UNEVEN,
    NoObject,
    border_ring,
    colour_spread,
    fit_border,
    polynomials,
)

FAINT = 0.016
"""Smallest distance from the background (Euclidean, RGB in [0, 1]) that counts in a clean picture:
2.4 levels of 255 in each channel."""
FLAT_SHARE = 0.75
"""Share of the border within `FLAT` of its median colour in a picture on one colour."""
FLAT = 0.02
"""Distance up to which a border pixel has the background's one colour."""
TONES_APART = 0.06
"""Smallest distance between the two tones of a painted checkerboard."""
CHANGES = 8
"""Fewest changes of tone along the border of a painted checkerboard or of painted stripes."""

DEGREES = (4, 4, 6, 6, 6, 6)
"""Degrees of the polynomials that a background which changes smoothly is refined with."""

Pixels = NDArray[np.float32]
Region = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """A model of the background, evaluated over the picture."""

    colour: Pixels
    """[3, h, w]: the background's colour at each pixel."""
    distance: Pixels
    """[h, w]: Euclidean distance of the picture, filtered where it is noisy, from it."""
    faint: float
    """Distance above which a pixel of an extended region is no background."""
    clear: float
    """Distance above which any pixel is no background."""
    noisy: bool
    """True if the picture was filtered."""
    patterned: bool = False
    """True if the background is a painted checkerboard or painted stripes."""


def model_backdrop(pixels: Pixels, hidden: Region) -> Backdrop:
    """Fits the simplest background that explains the border.

    One colour; two alternating tones; a quadratic in the place, refined by higher polynomials
    over all the background that it finds.

    Args:
        pixels: [3, h, w] in [0, 1].
        hidden: [h, w], pixels whose colour means nothing.

    Raises:
        NoObject: no model explains the border.
    """
    ring = border_ring(hidden.shape) & ~hidden
    border = pixels[:, ring]
    median = np.median(border, axis=1)
    flat = np.linalg.norm(border - median[:, None], axis=0) <= FLAT
    if flat.mean() >= FLAT_SHARE:
        colour = np.broadcast_to(median[:, None, None], pixels.shape).astype(np.float32)
        return _measured(pixels, colour, ring)
    patterned = _two_tones(pixels, border)
    if patterned is not None:
        return patterned
    backdrop = _measured(pixels, fit_border(pixels, ring), ring)
    return _refined(pixels, backdrop, ring)


def _measured(pixels: Pixels, colour: Pixels, ring: Region) -> Backdrop:
    """Distances from a background, with thresholds from what the border scatters around it."""
    away = pixels - colour
    spread = colour_spread(away[:, ring])
    noisy = spread > NEAR / SPREADS
    if noisy:  # a median of neighbours has less noise and keeps edges
        away = ndimage.median_filter(away, (1, 5, 5))
        spread = colour_spread(away[:, ring])
    clear = max(NEAR, SPREADS * spread)
    if clear > UNEVEN:
        raise NoObject("its border has no plain colour, but many")
    distance = np.linalg.norm(away, axis=0).astype(np.float32)
    border = distance[ring]
    if (border > clear).mean() > OUTLIERS:
        raise NoObject("its border has no plain colour all around")
    scatter = float(np.quantile(border[border <= clear], 0.98))
    faint = min(max(FAINT, SPREADS * spread, 1.3 * scatter), clear)
    return Backdrop(colour, distance, faint, clear, noisy)


def _refined(pixels: Pixels, backdrop: Backdrop, ring: Region) -> Backdrop:
    """A higher polynomial through the background that adjoins the border, as far as that grows."""
    best, share = backdrop, 0.0
    for degree in DEGREES:
        places = polynomials(ring.shape, degree)
        calm = ~ndimage.binary_dilation(best.distance > best.clear, iterations=3)
        known = ndimage.binary_propagation(ring & calm, mask=calm)
        if known.mean() < max(0.3, share + 0.002):
            return best
        share = float(known.mean())
        chosen = np.flatnonzero(known)
        chosen = chosen[:: max(1, len(chosen) // 20_000)]
        terms = places.reshape(len(places), -1)[:, chosen].T
        fit = np.linalg.lstsq(terms, pixels.reshape(3, -1)[:, chosen].T, rcond=None)[0]
        colour = np.einsum("chw,ck->khw", places, fit).astype(np.float32)
        try:
            best = _measured(pixels, colour, ring)
        except NoObject:
            return best
    return best


def _two_tones(pixels: Pixels, border: Pixels) -> Backdrop | None:
    """A painted checkerboard or painted stripes: distance from the line between the two tones."""
    tones = _cluster(border)
    apart = tones[1] - tones[0]
    length = float(np.linalg.norm(apart))
    if length < TONES_APART:
        return None
    nearest = np.linalg.norm(border[:, None] - tones.T[..., None], axis=0)
    if (nearest.min(0) <= max(0.15 * length, 0.03)).mean() < 0.8:
        return None
    shares = np.bincount(nearest.argmin(0), minlength=2) / border.shape[1]
    if shares.min() < 0.25 or not _alternates(pixels, tones):
        return None
    away = pixels - tones[0][:, None, None]
    along = np.clip(np.einsum("chw,c->hw", away, apart) / length**2, 0, 1)
    colour = (tones[0][:, None, None] + apart[:, None, None] * along).astype(np.float32)
    distance = np.linalg.norm(pixels - colour, axis=0).astype(np.float32)
    return Backdrop(colour, distance, NEAR, NEAR, noisy=False, patterned=True)


def _cluster(border: Pixels) -> Pixels:
    """Two tones [2, 3] by k-means from the darkest and the lightest tenth."""
    light = border.sum(0)
    order = np.argsort(light, kind="stable")
    tenth = max(1, len(order) // 10)
    tones = np.stack([border[:, order[:tenth]].mean(1), border[:, order[-tenth:]].mean(1)])
    for _ in range(8):
        near = np.linalg.norm(border[:, None] - tones.T[..., None], axis=0).argmin(0)
        if near.min() == near.max():
            break
        tones = np.stack([np.median(border[:, near == k], axis=1) for k in (0, 1)])
    return tones


def _alternates(pixels: Pixels, tones: Pixels) -> bool:
    """Returns True if the tones change often along at least three of the four borders."""
    lines = (pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1])
    regular = 0
    for line in lines:
        near = np.linalg.norm(line[:, None] - tones.T[..., None], axis=0).argmin(0)
        runs = np.diff(np.flatnonzero(np.diff(near)))
        if len(runs) + 1 >= CHANGES and len(runs):
            usual = np.median(runs)
            regular += int((np.abs(runs - usual) <= max(1.5, 0.35 * usual)).mean() >= 0.6)
    return regular >= 3
