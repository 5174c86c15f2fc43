"""Rasterise, interpolate, antialias: the definitions, in plain PyTorch. Readable, not fast.

Letters: a vertex is P = (x, y, z, w) in clip space; a pixel centre is (X, Y), its x/w and y/w.
With q_i = (x_i − X w_i, y_i − Y w_i), the numbers

    a_0 = q_1 × q_2    a_1 = q_2 × q_0    a_2 = q_0 × q_1

are the homogeneous coordinates, in the triangle, of the point seen at the pixel: Σ a_i P_i. They
need no division by w, so a triangle that reaches behind the camera is no special case (Olano and
Greer, 1997).
Everything is computed in float64 and returned in the type of the input.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FLAT = 1e-13
"""Σ a_i w_i, relative to its terms, at or below which a triangle is seen edge on: all rounding."""
BOX_SLACK_PX = 1e-6
"""Added around a triangle's pixels, so that rounding in the box never beats the exact test."""
MAX_WALK = 64
"""Triangles a walk to the silhouette may cross inside one pixel before it is given up."""
SLOP_PX = 1e-6
"""Rounding allowance, in pixels, on where a silhouette crosses between two pixel centres."""


def rasterize(
    clip: Float[Tensor, "b v 4"], faces: Int[Tensor, "f 3"], size: tuple[int, int]
) -> Float[Tensor, "b h w 4"]:
    """See `xbind.kernels.rasterize`."""
    x, y = _centres(size, clip.device)
    with torch.no_grad():
        face = torch.stack([_nearest_face(view.double(), faces, x, y) for view in clip])
    return locate(clip, faces, face)


def locate(
    clip: Float[Tensor, "b v 4"], faces: Int[Tensor, "f 3"], face: Int[Tensor, "b h w"]
) -> Float[Tensor, "b h w 4"]:
    """The raster of `rasterize`, when it is known which face each pixel sees (−1: none)."""
    size = (face.shape[1], face.shape[2])
    x, y = _centres(size, clip.device)
    view, row, column = torch.nonzero(face >= 0, as_tuple=True)
    face = face[view, row, column]

    corners = _rows(clip, view[:, None], faces[face]).double()
    a = _homogeneous(corners, x[row, column], y[row, column])
    u, v, _ = (a / a.sum(-1, keepdim=True)).unbind(-1)
    depth = (a * corners[..., 2]).sum(-1) / (a * corners[..., 3]).sum(-1)
    values = torch.stack([u, v, depth, face.double() + 1], -1).to(clip.dtype)
    return clip.new_zeros(len(clip), *size, 4).index_put((view, row, column), values)


def interpolate(
    attributes: Float[Tensor, "b v c"], rast: Float[Tensor, "b h w 4"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b h w c"]:
    """See `xbind.kernels.interpolate`."""
    view, row, column = torch.nonzero(rast[..., 3] >= 1, as_tuple=True)
    u, v, _, face = rast[view, row, column].unbind(-1)
    corners = _rows(attributes, view[:, None], faces[face.long() - 1])
    weights = torch.stack([u, v, 1 - u - v], -1)
    values = (weights[..., None] * corners).sum(1)
    blank = attributes.new_zeros(*rast.shape[:3], attributes.shape[-1])
    return blank.index_put((view, row, column), values)


def antialias(
    image: Float[Tensor, "b h w c"],
    rast: Float[Tensor, "b h w 4"],
    clip: Float[Tensor, "b v 4"],
    faces: Int[Tensor, "f 3"],
    table: Int[Tensor, "f 3"],
) -> Float[Tensor, "b h w c"]:
    """See `xbind.kernels.antialias`."""
    colour = image.flatten(0, 2)
    out = colour
    for axis in (0, 1):
        pairs = _pairs(rast.detach(), axis)
        with torch.no_grad():
            seen, start, end = _silhouettes(pairs, clip, faces, table)
        pairs = pairs.where(seen)
        distance = _crossing(*pairs.look(clip, start[seen]), *pairs.look(clip, end[seen]))
        alpha = pairs.sign * (0.5 - distance.clamp(0, 1))
        target = torch.where(alpha > 0, pairs.first, pairs.second)
        change = alpha.to(image.dtype)[:, None] * (colour[pairs.second] - colour[pairs.first])
        out = out.index_add(0, target, change)
    return out.view(image.shape)


class _Pairs(NamedTuple):
    """Neighbouring pixels `first` and `second` (the one right of it, or below) of unlike faces.

    Distances are seen from the centre of the pixel whose face is nearer, towards the other.
    """

    axis: int
    """0: the neighbour is to the right; 1: it is below."""
    size: tuple[int, int]
    view: Int[Tensor, " p"]
    first: Int[Tensor, " p"]
    """Flat pixel index over all views."""
    second: Int[Tensor, " p"]
    sign: Float[Tensor, " p"]
    """+1 where `first` is the nearer pixel, −1 where `second` is."""
    face: Int[Tensor, " p"]
    """The nearer pixel's face."""

    def where(self, keep: Bool[Tensor, " p"]) -> "_Pairs":
        kept = (x[keep] for x in self[2:])
        return _Pairs(self.axis, self.size, *kept)

    def look(
        self, clip: Float[Tensor, "b v 4"], vertex: Int[Tensor, " p"]
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
        """A vertex of each pair as (along, across) in pixels; NaN behind the camera."""
        height, width = self.size
        x, y, _, w = _rows(clip, self.view, vertex).double().unbind(-1)
        w = torch.where(w > 0, w, torch.nan)
        near = torch.where(self.sign > 0, self.first, self.second)
        right = (x / w + 1) * width / 2 - 0.5 - near % width
        down = (y / w + 1) * height / 2 - 0.5 - near // width % height
        return (self.sign * down, right) if self.axis else (self.sign * right, down)


def _pairs(rast: Float[Tensor, "b h w 4"], axis: int) -> _Pairs:
    views, height, width, _ = rast.shape
    index = torch.arange(views * height * width, device=rast.device).view(views, height, width)
    first, second = (index[:, :-1], index[:, 1:]) if axis else (index[:, :, :-1], index[:, :, 1:])
    first, second = first.flatten(), second.flatten()
    depth, face = rast.flatten(0, 2)[:, 2:].unbind(-1)
    unlike = face[first] != face[second]
    first, second = first[unlike], second[unlike]
    is_first_nearer = (face[first] > 0) & ((face[second] == 0) | (depth[first] < depth[second]))
    nearer = torch.where(is_first_nearer, first, second)
    return _Pairs(
        axis,
        (height, width),
        first // (height * width),
        first,
        second,
        torch.where(is_first_nearer, 1.0, -1.0).double(),
        face[nearer].long() - 1,
    )


def _silhouettes(
    pairs: _Pairs, clip: Tensor, faces: Int[Tensor, "f 3"], table: Int[Tensor, "f 3"]
) -> tuple[Bool[Tensor, " p"], Int[Tensor, " p"], Int[Tensor, " p"]]:
    """Walk from the nearer pixel towards the other one until the surface ends.

    Returns whether it ends between the two centres, in an edge that lies rather across the walk
    than along it, and that edge: its vertex on the side across ≥ 0, and the one on the other side.
    """
    edge, up, down = _first_exit(pairs, clip, faces)
    walking = edge >= 0
    ended = torch.zeros_like(walking)
    for _ in range(MAX_WALK):
        (up_along, up_across), (down_along, down_across) = (
            pairs.look(clip, up),
            pairs.look(clip, down),
        )
        distance = _crossing(up_along, up_across, down_along, down_across)
        walking &= (distance >= -SLOP_PX) & (distance <= 1 + SLOP_PX)
        beyond = table.flatten()[edge]
        opposite = faces.flatten()[beyond]
        along, across = pairs.look(clip, opposite)
        side = (down_along - up_along) * (across - up_across) - (down_across - up_across) * (
            along - up_along
        )
        is_silhouette = (beyond < 0) | (side < 0)  # the next face folds back under this one
        ended |= walking & is_silhouette
        walking &= ~is_silhouette
        leaving = torch.where(across >= 0, up, down)
        up = torch.where(walking & (across >= 0), opposite, up)
        down = torch.where(walking & ~(across >= 0), opposite, down)
        corner = (faces[beyond // 3] == leaving[:, None]).int().argmax(-1)
        edge = torch.where(walking, beyond // 3 * 3 + corner, edge)
    (up_along, up_across), (down_along, down_across) = pairs.look(clip, up), pairs.look(clip, down)
    slant = (up_along - down_along).abs() - (up_across - down_across).abs()
    # A diagonal edge belongs to the horizontal pair only, or it would be blended twice.
    return ended & ((slant < 0) if pairs.axis else (slant <= 0)), up, down


def _first_exit(
    pairs: _Pairs, clip: Tensor, faces: Int[Tensor, "f 3"]
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"], Int[Tensor, " p"]]:
    """The edge (3·face + opposite corner) by which the walk leaves the nearer pixel's face.

    With its ends on the sides across ≥ 0 and across < 0; edge −1 where there is none.
    """
    best = torch.full_like(pairs.sign, -torch.inf)
    edge, up, down = (torch.full_like(pairs.face, fill) for fill in (-1, 0, 0))
    for corner in range(3):
        start, end = (faces[pairs.face, (corner + k) % 3] for k in (1, 2))
        (start_along, start_across), (end_along, end_across) = (
            pairs.look(clip, start),
            pairs.look(clip, end),
        )
        distance = _crossing(start_along, start_across, end_along, end_across)
        is_exit = ((start_across >= 0) != (end_across >= 0)) & (distance > best)
        best = torch.where(is_exit, distance, best)
        edge = torch.where(is_exit, 3 * pairs.face + corner, edge)
        up = torch.where(is_exit, torch.where(start_across >= 0, start, end), up)
        down = torch.where(is_exit, torch.where(start_across >= 0, end, start), down)
    return edge, up, down


def _crossing(along_a: Tensor, across_a: Tensor, along_b: Tensor, across_b: Tensor) -> Tensor:
    """Returns the intersection of the segment from a to b with the line across = 0."""
    return along_a + across_a / (across_a - across_b) * (along_b - along_a)


def _nearest_face(
    clip: Float[Tensor, "v 4"], faces: Int[Tensor, "f 3"], x: Tensor, y: Tensor
) -> Int[Tensor, "h w"]:
    """Index of the nearest face at each pixel, the lower one on a tie, −1 where there is none."""
    nearest = torch.full_like(x, torch.inf)
    face = torch.full(x.shape, -1, device=x.device)
    for k, corners in enumerate(clip[faces]):
        a = _homogeneous(corners, x, y)
        depth = (a * corners[:, 2]).sum(-1) / (a * corners[:, 3]).sum(-1)
        y_i, w_i = corners[:, 1], corners[:, 3]
        terms = corners[:, 0] * (y_i.roll(-1) * w_i.roll(-2) - y_i.roll(-2) * w_i.roll(-1))
        volume = terms.sum()  # = Σ a_i w_i, at every pixel
        is_inside = (a * volume.sign() >= 0).all(-1) & (volume.abs() > FLAT * terms.abs().sum())
        is_visible = is_inside & (depth >= -1) & (depth <= 1) & (depth < nearest)
        nearest = torch.where(is_visible, depth, nearest)
        face = torch.where(is_visible, k, face)
    return face


def _homogeneous(
    corners: Float[Tensor, "*n 3 4"], x: Float[Tensor, "*p"], y: Float[Tensor, "*p"]
) -> Float[Tensor, "*p 3"]:
    """a_0, a_1, a_2 of the module's docstring, for one triangle per pixel or one for all."""
    qx = corners[..., 0] - x[..., None] * corners[..., 3]
    qy = corners[..., 1] - y[..., None] * corners[..., 3]
    return qx.roll(-1, -1) * qy.roll(-2, -1) - qy.roll(-1, -1) * qx.roll(-2, -1)


def _centres(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Clip x/w and y/w of the pixel centres, row 0 at y/w = −1."""
    height, width = size
    y = (2 * torch.arange(height, device=device).double() + 1) / height - 1
    x = (2 * torch.arange(width, device=device).double() + 1) / width - 1
    y, x = torch.meshgrid(y, x, indexing="ij")
    return x, y


def _rows(values: Float[Tensor, "n v c"], view: Tensor, index: Tensor) -> Tensor:
    """values[view, index], by index_select, whose backward is deterministic."""
    flat = view * values.shape[1] + index
    picked = values.flatten(0, 1).index_select(0, flat.flatten())
    return picked.view(*flat.shape, values.shape[-1])
