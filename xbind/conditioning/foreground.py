"""The mask of the object in a user's picture, with a verdict on how certain it is.

In this order: an alpha channel that is a mask; frames and bars removed; a model of the background;
shadow, pieces and holes. What speaks against the result is collected as reasons for doubt.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from xbind.conditioning.backdrop import FAINT, Backdrop, model_backdrop
from xbind.conditioning.background import SPREADS, NoObject, border_ring, colour_spread
from xbind.conditioning.errors import PromptError
from xbind.conditioning.frame import inside_frame
from xbind.conditioning.pieces import EIGHT, assemble, bridge, cut_shadow, fill_holes

Pixels = NDArray[np.float32]
Region = NDArray[np.bool_]

Source = Literal["alpha", "background", "file", "network"]
"""Sources of a mask."""

WORKING_SIDE = 1024
"""A larger picture is segmented at this many pixels on its longer side."""
SMALLEST, LARGEST = 0.002, 0.98
"""Share of the picture that an object covers; outside of it the picture is refused."""
USUAL = (0.01, 0.85)
"""Share of the picture outside of which the mask is in doubt."""
TRANSPARENT = 0.1
"""An alpha channel is a mask when it leaves at least this share of the picture transparent, or
`OPEN_BORDER` of its border. Rounded corners and stray pixels do neither."""
OPEN_BORDER = 0.5
"""See `TRANSPARENT`."""
WEAK = 0.045
"""Distance from the background below which a point of the outline has hardly any contrast."""
LONG_OUTLINE = 0.05
"""Outlines of this share of all outlines' length are judged on their own as well."""
WEAK_SHARE = 0.15
"""Largest share of such points in an outline that is certain."""
BLOCK = 17.0
"""Compression artefacts reach this far from an edge, in pixels: a block of subsampled colour."""
SMOOTH = 0.04
"""Largest mean slope of a faint part near edges, per pixel, relative to its distance."""
BLUR = 4.0
"""Standard deviation of the blur that shows what noise hides, in pixels."""
HIDDEN_SHARE = 0.1
"""Largest area that it may show outside of a certain mask, as a share of the object's."""
UNCLEAR_SHARE = 0.05
"""Largest share of the background that may differ from its model in a certain mask."""


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """An object's mask and how certain it is."""

    mask: Float[Tensor, "1 h w"]
    """Coverage in [0, 1]."""
    source: Source
    """Source of the mask."""
    doubts: tuple[str, ...] = ()
    """Reasons why the mask may be wrong, as clauses; empty when it is certain."""

    @property
    def verdict(self) -> Literal["sure", "unsure"]:
        """`unsure` when there are doubts. A hopeless picture raises PromptError instead."""
        return "unsure" if self.doubts else "sure"

    def warning(self, name: str) -> str | None:
        """The message for the user; None when the mask is certain."""
        if not self.doubts:
            return None
        advice = (
            "Check mask.png in the run's folder; "
            + ("give" if self.source != "file" else "else give")
            + " another mask with --mask FILE (white is the object)."
        )
        return f"The object in {name} is uncertain: {'; '.join(self.doubts)}.\n{advice}"

    def record(self) -> dict[str, object]:
        """Plain data for `config.json`."""
        return {
            "source": self.source,
            "verdict": self.verdict,
            "reasons": list(self.doubts),
            "share": round(float(self.mask.mean()), 4),
        }


def find_foreground(
    rgb: Float[Tensor, "3 h w"], alpha: Float[Tensor, "1 h w"] | None, name: str
) -> Foreground:
    """Decides the mask of a picture.

    Args:
        rgb: colours in [0, 1].
        alpha: coverage in [0, 1], None for an opaque picture.
        name: what to call the picture in messages.

    Raises:
        PromptError: no object can be told from the background; the message says why.
    """
    hidden = np.zeros(rgb.shape[1:], bool)
    if alpha is not None:
        if _is_mask(alpha[0].numpy()):
            return _from_alpha(alpha, name)
        hidden = ndimage.binary_dilation(alpha[0].numpy() < 0.99, structure=EIGHT)
    try:
        mask, doubts = _segment(rgb.numpy(), hidden)
    except NoObject as error:
        raise no_object(name, str(error)) from error
    return Foreground(torch.from_numpy(mask)[None], "background", tuple(doubts))


def no_object(name: str, why: str) -> PromptError:
    """The refusal of a picture, with what to give instead."""
    return PromptError(
        f"No object can be told from the background in {name}: {why}.\n"
        f"Give a picture of one object on a plain background, a PNG whose alpha channel is the "
        f"object's mask, or the mask as a picture of its own with --mask FILE (white is the "
        f"object)."
    )


def _is_mask(alpha: Pixels) -> bool:
    clear = alpha < 0.5
    border = np.concatenate([clear[0], clear[-1], clear[:, 0], clear[:, -1]])
    return bool(clear.mean() >= TRANSPARENT or border.mean() >= OPEN_BORDER)


def _from_alpha(alpha: Float[Tensor, "1 h w"], name: str) -> Foreground:
    """The alpha channel without haze and specks."""
    values = alpha[0].numpy().copy()
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    haze = float(np.median(border))
    if 0 < haze < 0.5:
        values = np.clip((values - haze) / (1 - haze), 0, 1)
    labels, count = ndimage.label(values > 0.5, structure=EIGHT)
    if count == 0 or (values > 0.5).mean() < SMALLEST:
        raise no_object(name, "its alpha channel shows next to nothing")
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    large = sizes >= max(2.0, 0.001 * sizes.max())
    near = ndimage.binary_dilation(large[labels], structure=EIGHT, iterations=8)
    values = np.where(near | (labels == 0), values, 0).astype(np.float32)
    whole = values > 0.5
    kept, doubts = assemble(whole)
    if (whole & ~kept).sum() > 0.02 * whole.sum():
        doubts = ["its alpha channel holds several separate objects, and all are kept"]
    return Foreground(torch.from_numpy(values)[None], "alpha", tuple(doubts))


def _segment(pixels: Pixels, hidden: Region) -> tuple[Pixels, list[str]]:
    """The mask [h, w] of an opaque picture [3, h, w] and the doubts."""
    height, width = hidden.shape
    factor = WORKING_SIDE / max(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        planes = [_resized(plane, size, Image.Resampling.BOX) for plane in pixels]
        covered = _resized(hidden.astype(np.float32), size, Image.Resampling.BOX) > 0
        mask, doubts = _segment(np.stack(planes), covered)
        return _resized(mask, (width, height), Image.Resampling.BILINEAR).clip(0, 1), doubts
    inside, whole = inside_frame(pixels), (slice(0, height), slice(0, width))
    try:
        region, doubts = _cut(pixels[:, *inside], hidden[inside])
    except NoObject:
        if inside == whole:
            raise
        inside = whole  # what looked like a frame is the background around a rectangular object
        region, doubts = _cut(pixels, hidden)
    mask = np.zeros(hidden.shape, np.float32)
    mask[inside] = region
    return mask, doubts


def _resized(plane: Pixels, size: tuple[int, int], how: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(plane).resize(size, how), np.float32)


def _cut(pixels: Pixels, hidden: Region) -> tuple[Region, list[str]]:
    """The object inside of frames, with the doubts."""
    if (border_ring(hidden.shape) & ~hidden).sum() < 16:
        raise NoObject("nothing of its border is opaque")
    backdrop = model_backdrop(pixels, hidden)
    raw = _raw(backdrop, hidden)
    region, doubts = cut_shadow(raw, pixels, backdrop)
    shadow = raw & ~region
    for step in (bridge, assemble, fill_holes):
        region, more = step(region)
        doubts += more
    share = float(region.mean())
    if not SMALLEST <= share <= LARGEST:
        raise NoObject(f"what differs from its border covers {share:.1%} of it")
    if backdrop.patterned:
        doubts.append("a pattern is painted behind it, such as the checkerboard of transparency")
    if not USUAL[0] <= share <= USUAL[1]:
        doubts.append(f"what was found covers {share:.1%} of the picture")
    if backdrop.noisy and _hides_parts(region, shadow | hidden, pixels, backdrop):
        doubts.append("faint parts beside it are lost in the noise")
    return region, doubts + _outline_doubts(region, shadow, backdrop, hidden)


def _raw(backdrop: Backdrop, hidden: Region) -> Region:
    """All that is no background: clear differences, and extended faint ones."""
    distance, visible = backdrop.distance, ~hidden
    clear = (distance > backdrop.clear) & visible
    faint = (distance > backdrop.faint) & visible
    # Compression rings around clear edges; only what is wider than rings is a faint part.
    core = ndimage.binary_opening(faint & ~clear, structure=np.ones((7, 7), bool))
    extended = ndimage.binary_propagation(_parts(core, clear, distance), mask=faint & ~clear)
    raw = clear | extended
    if backdrop.noisy or backdrop.patterned:
        raw = ndimage.binary_opening(raw, structure=EIGHT)
    if not raw.any():
        raise NoObject("nothing in it differs from its border")
    return _sharpened(raw, distance)


def _parts(core: Region, clear: Region, distance: Pixels) -> Region:
    """The faint regions that are parts of an object: large, and smooth or far from clear edges.

    Compression artefacts lie within a block of clear edges and are rough.
    """
    labels, count = ndimage.label(core)
    if count == 0:
        return core
    reach = ndimage.distance_transform_edt(~clear) if clear.any() else np.full(core.shape, np.inf)
    slope = np.hypot(*np.gradient(distance))
    index = np.arange(1, count + 1)
    sizes = np.bincount(labels.ravel())[1:]
    rough = ndimage.mean(slope, labels, index) / ndimage.mean(distance, labels, index)
    far = ndimage.maximum(reach, labels, index) > BLOCK
    part = (sizes >= 0.002 * core.size) & (far | (rough < SMOOTH))
    kept: Region = np.append(False, part)[labels]
    return kept


def _sharpened(raw: Region, distance: Pixels) -> Region:
    """Without the outer half of the blurred edge: pixels that are mostly background."""
    rim = raw & ~ndimage.binary_erosion(raw, structure=EIGHT, iterations=2, border_value=1)
    kept: Region = raw & ~(rim & (distance < 0.5 * ndimage.maximum_filter(distance, 5)))
    return kept if kept.any() else raw


def _hides_parts(region: Region, ignored: Region, pixels: Pixels, backdrop: Backdrop) -> bool:
    """Returns True if a strong blur shows a large difference outside of a noisy picture's mask."""
    outside = ~ndimage.binary_dilation(region | ignored, structure=EIGHT, iterations=4)
    weight = np.maximum(ndimage.gaussian_filter(outside.astype(np.float32), BLUR), 0.05)
    residual = (pixels - backdrop.colour) * outside
    smooth = ndimage.gaussian_filter(residual, (0, BLUR, BLUR)) / weight
    limit = max(FAINT, SPREADS * colour_spread(smooth[:, border_ring(region.shape)]))
    found = (np.linalg.norm(smooth, axis=0) > limit) & outside
    return bool(found.sum() > HIDDEN_SHARE * region.sum())


def _weak_share(region: Region, backdrop: Backdrop) -> float:
    """The largest share of an outline, or of one hole's, across which next to nothing changes."""
    distance = backdrop.distance
    rim = region & ~ndimage.binary_erosion(region, structure=EIGHT, border_value=1)
    inner = ndimage.maximum_filter(np.where(region, distance, 0), 5)
    outer = ndimage.minimum_filter(np.where(region, np.inf, distance), 5)
    weak = (inner - outer)[rim] < max(WEAK, 1.6 * backdrop.faint)
    labels, count = ndimage.label(rim, structure=EIGHT)
    if count == 0:
        return 1.0
    lengths = np.bincount(labels[rim])[1:]
    shares = np.bincount(labels[rim], weights=weak)[1:] / lengths
    return float(max(weak.mean(), shares[lengths >= LONG_OUTLINE * lengths.sum()].max()))


def _outline_doubts(
    region: Region, shadow: Region, backdrop: Backdrop, hidden: Region
) -> list[str]:
    """Returns the doubts about a mask from its outline, its border and the rest of the picture."""
    doubts = []
    if (weak := _weak_share(region, backdrop)) > WEAK_SHARE:
        doubts.append(f"{weak:.0%} of its outline hardly differs from the background")
    outside = ~ndimage.binary_dilation(region | shadow | hidden, structure=EIGHT, iterations=8)
    unclear = float((backdrop.distance > backdrop.faint)[outside].mean()) if outside.any() else 0.0
    if unclear > UNCLEAR_SHARE:
        doubts.append(f"{unclear:.0%} of the background is neither plain nor smooth")
    lines = (region[0], region[-1], region[:, 0], region[:, -1])
    touched = sum(bool(line.mean() > 0.02) for line in lines)
    if touched > 1:
        doubts.append(f"it touches {touched} sides of the picture")
    return doubts
