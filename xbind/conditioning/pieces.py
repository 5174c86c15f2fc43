"""Regions that make up an object: pieces, holes and contact shadows of a raw mask."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from xbind.conditioning.backdrop import Backdrop

SPECK = 0.004
"""A piece smaller than this share of the largest one is noise."""
NEAR_GAP = 0.06
"""Pieces at most this share of the object's extent apart belong together."""
FAR_GAP = 0.15
"""Pieces farther apart than this share of the object's extent are other objects."""
COMPARABLE = 0.3
"""From this share of the largest piece's area on, a piece may be an object of its own."""
HOLE_SHARE = 0.005
"""Holes smaller than this share of the object are highlights and get filled."""
BAND_SHARE = 0.3
"""Largest area of a band of the background's colour, as a share of what it cuts."""
STROKE = 0.08
"""An outline thinner than this share of what it encloses is drawn: what it encloses is filled."""
GREY = 0.06
"""Largest difference between the channels' ratios to the background in a shadow."""

Pixels = NDArray[np.float32]
Region = NDArray[np.bool_]

EIGHT = np.ones((3, 3), bool)


def assemble(region: Region) -> tuple[Region, list[str]]:
    """Returns the pieces that belong to the largest one, and reasons for doubt.

    A piece belongs to the object when the gap is small against the object's extent. Of pieces
    between the two limits only small ones do without doubt.
    """
    labels, count = ndimage.label(region, structure=EIGHT)
    if count < 2:
        return region, []
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    left = [i for i in range(1, count + 1) if i != largest and sizes[i] >= SPECK * sizes[largest]]
    kept, reasons = labels == largest, []
    gap, extent = ndimage.distance_transform_edt(~kept), _extent(kept)
    while left:
        gaps = ndimage.minimum(gap, labels, left)
        nearest = int(np.argmin(gaps))
        piece, share = left[nearest], sizes[left[nearest]] / sizes[largest]
        if gaps[nearest] > FAR_GAP * extent:
            break
        left.pop(nearest)
        new = labels == piece
        if share >= COMPARABLE and (gaps[nearest] > NEAR_GAP * extent or _beside(kept, new)):
            reasons.append("it may show two objects side by side, which are taken as one")
        kept |= new
        gap, extent = ndimage.distance_transform_edt(~kept), _extent(kept)
    rest = sum(sizes[i] for i in left) / kept.sum()
    if any(sizes[i] >= COMPARABLE * sizes[largest] for i in left):
        reasons.append("it shows two objects or more, and only the largest is kept")
    elif rest > 0.02:
        reasons.append(f"regions as large as {rest:.0%} of the object lie apart and are left out")
    return kept, list(dict.fromkeys(reasons))


def _extent(region: Region) -> int:
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    return int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1


def _beside(one: Region, other: Region) -> bool:
    """Returns True if two regions are side by side at about the same height."""
    rows = [np.flatnonzero(x.any(1)) for x in (one, other)]
    columns = [np.flatnonzero(x.any(0)) for x in (one, other)]
    common = min(r[-1] for r in rows) - max(r[0] for r in rows)
    apart = max(c[0] for c in columns) - min(c[-1] for c in columns)
    return bool(apart > 0 and common >= 0.7 * max(r[-1] - r[0] for r in rows))


def bridge(region: Region) -> tuple[Region, list[str]]:
    """Fills a band of background colour that cuts an object straight through.

    The two sides of such a band are equally wide and lie opposite each other.
    """
    labels, count = ndimage.label(region, structure=EIGHT)
    if count < 2:
        return region, []
    sizes = np.bincount(labels.ravel())[1:]
    filled = region.copy()
    for axis in (0, 1):
        for other in np.argsort(-sizes)[1:5]:
            if sizes[other] < 0.15 * sizes.max():
                continue
            pair = [labels == 1 + int(sizes.argmax()), labels == 1 + int(other)]
            filled |= _band_between(pair, axis)
    if (filled & ~region).sum() <= HOLE_SHARE * region.sum():
        return region, []
    return filled, [
        "a band of the background's colour was filled, which cuts it in two or parts two objects"
    ]


def _band_between(pair: list[Region], axis: int) -> Region:
    """The pixels between two regions along an axis; none unless they face each other."""
    nothing = np.zeros_like(pair[0])
    lines = [x if axis == 0 else x.T for x in pair]
    lines.sort(key=lambda x: float(np.flatnonzero(x.any(1)).mean()))
    first, second = lines
    height = len(first)
    last_of_first = height - 1 - first[::-1].argmax(0)
    first_of_second = second.argmax(0)
    facing = first.any(0) & second.any(0) & (first_of_second > last_of_first)
    widths = first.any(0).sum(), second.any(0).sum()
    if facing.sum() < 0.9 * max(widths):
        return nothing
    rows = np.arange(height)[:, None]
    between = facing & (rows > last_of_first) & (rows < first_of_second)
    if between.sum() > BAND_SHARE * (first.sum() + second.sum()):
        return nothing
    return between if axis == 0 else between.T


def fill_holes(region: Region) -> tuple[Region, list[str]]:
    """Fills small holes and what a thin outline encloses; a handle's hole stays open."""
    holes, count = ndimage.label(ndimage.binary_fill_holes(region) & ~region)
    if count == 0:
        return region, []
    sizes = np.bincount(holes.ravel())
    small = sizes < HOLE_SHARE * region.sum()
    small[0] = False
    filled: Region = region | small[holes]
    thickness = ndimage.distance_transform_edt(filled)
    drawn = [k for k in np.flatnonzero(~small[1:]) + 1 if _drawn(holes == k, thickness)]
    if not drawn:
        return filled, []
    filled |= np.isin(holes, drawn)
    return filled, ["thin outlines enclose the background's colour, and the inside was filled"]


def _drawn(hole: Region, thickness: NDArray[np.float64]) -> bool:
    """Returns True if the region around a hole is a thin stroke nearly everywhere."""
    stroke = STROKE * np.sqrt(hole.sum())
    reach = int(np.ceil(stroke)) + 1
    local = ndimage.maximum_filter(thickness, 2 * reach + 1)
    rim = ndimage.binary_dilation(hole, structure=EIGHT) & ~hole
    return bool((2 * local[rim] <= stroke + 1).mean() >= 0.9)


def cut_shadow(region: Region, pixels: Pixels, backdrop: Backdrop) -> tuple[Region, list[str]]:
    """Removes a contact shadow: a flat grey darkening of the background at the object's foot.

    A shadow with a soft edge below a coloured object is certain; else a doubt is returned.
    """
    colour = np.maximum(backdrop.colour, 1e-3)
    ratio = pixels / colour
    if backdrop.noisy:
        ratio = ndimage.median_filter(ratio, (1, 5, 5))
    level, difference = ratio.mean(0), np.ptp(ratio, axis=0)
    lit = colour.mean(0) > 0.2
    for darkest in (0.3, 0.45, 0.6, 0.75, 0.85):
        grey = region & lit & (difference < GREY) & (level > darkest) & (level < 0.99)
        labels, count = ndimage.label(ndimage.binary_opening(grey, structure=EIGHT))
        boxes = ndimage.find_objects(labels)
        for k in range(1, count + 1):
            shadow = labels == k
            if not _lies_at_foot(shadow, region, boxes[k - 1]):
                continue
            around = ndimage.binary_dilation(shadow, structure=EIGHT, iterations=3)
            wide = (difference < 2 * GREY) & (level > darkest)
            rest = _trimmed(region & ~(shadow | (around & wide)))
            soft = _has_soft_edge(shadow, region, backdrop)
            certain = soft and darkest == 0.3
            return rest, [] if certain else ["what looks like a grey shadow was cut off its foot"]
    return region, []


def _trimmed(region: Region) -> Region:
    """Without threads that the rim of a shadow leaves; thin parts elsewhere stay."""
    labels, count = ndimage.label(region, structure=EIGHT)
    if count < 2:
        return region
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: Region = (sizes >= 0.02 * sizes.max())[labels] & region
    return kept


def _lies_at_foot(shadow: Region, region: Region, box: tuple[slice, slice]) -> bool:
    area = shadow.sum()
    rest = region & ~shadow
    if area < 0.01 * region.sum() or rest.sum() < 0.5 * region.sum():
        return False
    rows = np.flatnonzero(ndimage.binary_opening(rest, structure=EIGHT).any(1))
    if len(rows) == 0:
        return False
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    height = bottom - top
    tall, wide = box[0].stop - box[0].start, box[1].stop - box[1].start
    middle = float(np.nonzero(shadow)[0].mean())
    return bool(
        wide >= 1.5 * tall
        and tall <= 0.45 * height
        and middle > top + 0.7 * height
        and box[0].stop >= bottom - 0.05 * height
    )


def _has_soft_edge(shadow: Region, region: Region, backdrop: Backdrop) -> bool:
    """Returns True if a region fades out towards the background around it."""
    outside = ndimage.binary_dilation(~region, structure=EIGHT, iterations=3)
    edge = shadow & outside
    if not edge.any():
        return False
    return bool(np.median(backdrop.distance[edge]) < 0.65 * np.median(backdrop.distance[shadow]))
