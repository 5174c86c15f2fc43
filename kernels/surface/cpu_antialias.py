"""`antialias` on a CPU: one thread per view. The definition is in `surface.reference`.

The forward pass records each blend it makes: the two pixels, the edge, and how the amount changes
when the edge's ends move. The backward pass only reads that list, in order, so it is deterministic.
"""

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.views import each_view
from xbind.kernels.surface.reference import MAX_WALK, SLOP_PX
from xbind.system.jit import cached_njit


@cached_njit(error_model="numpy")
def _project(clip, height, width, screen):
    """Vertices in units of pixel centres; NaN behind the camera."""
    for i in range(len(clip)):
        w = clip[i, 3]
        screen[i, 0] = (clip[i, 0] / w + 1) * (width / 2) - 0.5 if w > 0 else np.nan
        screen[i, 1] = (clip[i, 1] / w + 1) * (height / 2) - 0.5 if w > 0 else np.nan


@cached_njit(error_model="numpy")
def _crossing(screen, up, down, axis, here, there):
    """Returns the intersection of the edge with the line through the pixel centre (`here` along it,
    `there` across)."""
    along_a, across_a = screen[up, axis] - here, screen[up, 1 - axis] - there
    along_b, across_b = screen[down, axis] - here, screen[down, 1 - axis] - there
    return along_a + across_a / (across_a - across_b) * (along_b - along_a)


@cached_njit(error_model="numpy")
def _first_exit(screen, faces, face, axis, here, there, sign):
    """The corner opposite to the side by which the walk leaves `face`, −1 if there is none."""
    exit_corner, farthest = -1, -np.inf
    for corner in range(3):
        a, b = faces[face, (corner + 1) % 3], faces[face, (corner + 2) % 3]
        if (screen[a, 1 - axis] >= there) != (screen[b, 1 - axis] >= there):
            distance = sign * _crossing(screen, a, b, axis, here, there)
            if distance > farthest:
                exit_corner, farthest = corner, distance
    return exit_corner


@cached_njit(error_model="numpy")
def _silhouette(screen, faces, table, face, axis, here, there, sign):
    """Walk along `axis` from a pixel centre to the end of the surface, one pixel at most.

    Returns the edge in which it ends, as its vertex on the side across ≥ 0 and the one on the
    other side; −1 for both if there is none.
    """
    corner = _first_exit(screen, faces, face, axis, here, there, sign)
    if corner < 0:
        return -1, -1
    up, down = faces[face, (corner + 1) % 3], faces[face, (corner + 2) % 3]
    if screen[up, 1 - axis] < there:
        up, down = down, up
    steps = 0
    while steps < MAX_WALK:
        distance = sign * _crossing(screen, up, down, axis, here, there)
        if not (-SLOP_PX <= distance <= 1 + SLOP_PX):
            break
        beyond = table[face, corner]
        if beyond < 0:
            return up, down
        face, corner = beyond // 3, beyond % 3
        opposite = faces[face, corner]
        along, across = screen[opposite, axis], screen[opposite, 1 - axis]
        lean = (screen[down, axis] - screen[up, axis]) * (across - screen[up, 1 - axis])
        rise = (screen[down, 1 - axis] - screen[up, 1 - axis]) * (along - screen[up, axis])
        if sign * (lean - rise) < 0:  # the next face folds back under this one
            return up, down
        leaving = up if across >= there else down
        if across >= there:
            up = opposite
        else:
            down = opposite
        while faces[face, corner] != leaving:
            corner = (corner + 1) % 3
        steps += 1
    return -1, -1


@cached_njit(error_model="numpy")
def _slopes(clip, screen, up, down, axis, there, width, height, sign, out):
    """sign · ∂d/∂(x, y, w) of the edge's ends, in out[0:3] and out[3:6]. See `_crossing`."""
    # d = (1 − t) along_up + t along_down with t = across_up/(across_up − across_down)
    side = 1 - axis
    gap = screen[up, side] - screen[down, side]
    t = (screen[up, side] - there) / gap
    lean = (screen[down, axis] - screen[up, axis]) / gap  # ∂d/∂across, shared out as 1 − t and t
    vertex, share = up, 1 - t
    for end in range(0, 6, 3):
        x, y, w = clip[vertex, 0], clip[vertex, 1], clip[vertex, 3]
        x_bar = sign * share * (lean if axis else 1.0) * width / (2 * w)
        y_bar = sign * share * (1.0 if axis else lean) * height / (2 * w)
        out[end], out[end + 1], out[end + 2] = x_bar, y_bar, -(x_bar * x + y_bar * y) / w
        vertex, share = down, t


@cached_njit(error_model="numpy")
def _find_blends(
    rast,                   # in:      [h, w, 4]
    clip,                   # in:      [v, 4], float64
    faces, table,           # in:      [f, 3]
    screen,                 # scratch: [v, 2]
    blends, shares, slopes, # out:     [n, 4] (target, source, edge's ends), [n], [n, 6]
):  # fmt: skip
    height, width, _ = rast.shape
    _project(clip, height, width, screen)
    count = 0
    for axis in range(2):
        for row in range(height - axis):
            for column in range(width - 1 + axis):
                below, right = row + axis, column + 1 - axis
                if rast[row, column, 3] == rast[below, right, 3]:
                    continue
                is_first = rast[row, column, 3] > 0 and (
                    rast[below, right, 3] == 0 or rast[row, column, 2] < rast[below, right, 2]
                )
                near_row, near_column = (row, column) if is_first else (below, right)
                here, there = (near_row, near_column) if axis else (near_column, near_row)
                sign = 1.0 if is_first else -1.0
                face = int(rast[near_row, near_column, 3]) - 1
                up, down = _silhouette(screen, faces, table, face, axis, here, there, sign)
                if up < 0:
                    continue
                slant = abs(screen[up, axis] - screen[down, axis]) - abs(
                    screen[up, 1 - axis] - screen[down, 1 - axis]
                )
                if slant > 0 or (slant == 0 and axis == 1):
                    continue
                d = min(max(sign * _crossing(screen, up, down, axis, here, there), 0.0), 1.0)
                is_near_target = d < 0.5
                first, second = row * width + column, below * width + right
                is_first_target = is_near_target == is_first
                blends[count, 0] = first if is_first_target else second
                blends[count, 1] = second if is_first_target else first
                blends[count, 2], blends[count, 3] = up, down
                shares[count] = abs(0.5 - d)
                turn = -sign if is_near_target else sign  # the share is ½ − d, or d − ½
                _slopes(clip, screen, up, down, axis, there, width, height, turn, slopes[count])
                count += 1
    return count


@cached_njit(error_model="numpy")
def _blend(
    image,                  # in:  [p, c], pixels in one row
    blends, shares, count,  # in:  [n, 4], [n], how many of them
    out,                    # out: [p, c]
):  # fmt: skip
    pixels, channels = image.shape
    for pixel in range(pixels):
        for c in range(channels):
            out[pixel, c] = image[pixel, c]
    for n in range(count):
        target, source = blends[n, 0], blends[n, 1]
        for c in range(channels):
            out[target, c] += shares[n] * (image[source, c] - image[target, c])


@cached_njit(error_model="numpy", nogil=True)
def _view_backward(
    image, out_bar,                 # in:  [p, c]
    image_bar,                      # out: [p, c]
    clip_bar,                       # out: [v, 4], zero at first
    blends, shares, slopes, count,  # in:  [n, 4], [n], [n, 6], [1]
):  # fmt: skip
    pixels, channels = image.shape
    for pixel in range(pixels):
        for c in range(channels):
            image_bar[pixel, c] = out_bar[pixel, c]
    for n in range(count[0]):
        target, source, up, down = blends[n, 0], blends[n, 1], blends[n, 2], blends[n, 3]
        share_bar = 0.0
        for c in range(channels):
            bar = out_bar[target, c]
            share_bar += bar * (image[source, c] - image[target, c])
            image_bar[source, c] += shares[n] * bar
            image_bar[target, c] -= shares[n] * bar
        clip_bar[up, 0] += share_bar * slopes[n, 0]
        clip_bar[up, 1] += share_bar * slopes[n, 1]
        clip_bar[up, 3] += share_bar * slopes[n, 2]
        clip_bar[down, 0] += share_bar * slopes[n, 3]
        clip_bar[down, 1] += share_bar * slopes[n, 4]
        clip_bar[down, 3] += share_bar * slopes[n, 5]


@cached_njit(error_model="numpy", nogil=True)
def _view_forward(
    image,                          # in:      [p, c], pixels in one row
    rast,                           # in:      [h, w, 4]
    clip,                           # in:      [v, 4], float64
    screen,                         # scratch: [v, 2]
    out,                            # out:     [p, c]
    blends, shares, slopes, count,  # out:     [n, 4], [n], [n, 6], [1]
    faces, table,                   # in:      [f, 3]
):  # fmt: skip
    count[0] = _find_blends(rast, clip, faces, table, screen, blends, shares, slopes)
    _blend(image, blends, shares, count[0], out)


class Antialias(Function):
    """`antialias` with its analytic gradient; the definition is `surface.reference.antialias`."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, image: Tensor, rast: Tensor, clip: Tensor, faces: Tensor, table: Tensor
    ) -> Tensor:
        image, rast, clip, faces, table = (
            x.detach().contiguous() for x in (image, rast, clip, faces, table)
        )
        views, height, width, _ = image.shape
        most = 2 * height * width
        screen = torch.empty(views, clip.shape[1], 2, dtype=torch.float64)
        out = torch.empty_like(image)
        blends = torch.empty(views, most, 4, dtype=torch.int32)
        shares, slopes = torch.empty(views, most), torch.empty(views, most, 6)
        counts = torch.empty(views, 1, dtype=torch.int64)
        rows = (image.flatten(1, 2), rast, clip.double(), screen, out.flatten(1, 2))
        each_view(
            _view_forward,
            *(x.numpy() for x in (*rows, blends, shares, slopes, counts)),
            shared=(faces.numpy(), table.numpy()),
        )
        used = int(counts.max()) if views else 0
        kept = (x[:, :used].clone() for x in (blends, shares, slopes))
        ctx.save_for_backward(image, *kept, counts)
        ctx.vertices = clip.shape[1]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, out_bar: Tensor) -> tuple[Tensor, None, Tensor, None, None]:
        image, blends, shares, slopes, counts = ctx.saved_tensors
        image_bar = torch.empty_like(image)
        clip_bar = torch.zeros(len(image), ctx.vertices, 4, dtype=torch.float64)
        colours = (x.flatten(1, 2) for x in (image, out_bar.contiguous(), image_bar))
        per_view = (*colours, clip_bar, blends, shares, slopes, counts)
        each_view(_view_backward, *(x.numpy() for x in per_view))
        return image_bar, None, clip_bar.float(), None, None
