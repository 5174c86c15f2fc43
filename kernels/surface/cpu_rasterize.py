"""`rasterize` and `interpolate` on a CPU: one thread per view, so that no two write to one place.

The definitions, and the letters q_i and a_i, are in `surface.reference`. Computing a_i from the
pixel's own q_i, rather than from one linear form per triangle, keeps triangles watertight: a shared
side gives exactly opposite a_i in its two triangles; a shared corner, however close to the pixel,
the same q_i in all of its triangles, so that one of them holds the pixel.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.views import each_view
from xbind.kernels.surface.reference import BOX_SLACK_PX, FLAT
from xbind.system.jit import cached_njit


@cached_njit(error_model="numpy")
def _pixel_range(low, high, count):
    """First and one past the last pixel whose centre may lie in [low, high]."""
    first = math.ceil(min(max(low - BOX_SLACK_PX, 0.0), float(count)))
    last = math.floor(max(min(high + BOX_SLACK_PX, count - 1.0), -1.0))
    return int(first), int(last) + 1


@cached_njit(error_model="numpy")
def _box(clip, i, j, k, screen, height, width):
    """Pixel rows and columns a triangle can touch: all of them if it reaches behind the camera."""
    if clip[i, 3] <= 0 and clip[j, 3] <= 0 and clip[k, 3] <= 0:
        return 0, 0, 0, 0
    if clip[i, 3] <= 0 or clip[j, 3] <= 0 or clip[k, 3] <= 0:
        return 0, width, 0, height
    x0, x1, x2 = screen[i, 0], screen[j, 0], screen[k, 0]
    y0, y1, y2 = screen[i, 1], screen[j, 1], screen[k, 1]
    left, right = _pixel_range(min(x0, x1, x2), max(x0, x1, x2), width)
    top, bottom = _pixel_range(min(y0, y1, y2), max(y0, y1, y2), height)
    return left, right, top, bottom


@cached_njit(error_model="numpy", nogil=True)
def _view_forward(
    clip,             # in:      [v, 4], float64
    screen, nearest,  # scratch: [v, 2], [h, w]
    rast,             # out:     [h, w, 4]
    faces,            # in:      [f, 3]
):  # fmt: skip
    height, width = nearest.shape
    for row in range(height):
        for column in range(width):
            nearest[row, column] = np.inf
            for channel in range(4):
                rast[row, column, channel] = 0
    for i in range(len(clip)):
        w = clip[i, 3]
        screen[i, 0] = (clip[i, 0] / w + 1) * (width / 2) - 0.5 if w > 0 else np.nan
        screen[i, 1] = (clip[i, 1] / w + 1) * (height / 2) - 0.5 if w > 0 else np.nan
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        left, right, top, bottom = _box(clip, i, j, k, screen, height, width)
        if left >= right or top >= bottom:
            continue
        x0, y0, z0, w0 = clip[i, 0], clip[i, 1], clip[i, 2], clip[i, 3]
        x1, y1, z1, w1 = clip[j, 0], clip[j, 1], clip[j, 2], clip[j, 3]
        x2, y2, z2, w2 = clip[k, 0], clip[k, 1], clip[k, 2], clip[k, 3]
        # Σ a_i w_i, which is the same at every pixel, and the terms it is made of
        t0, t1, t2 = x0 * (y1 * w2 - y2 * w1), x1 * (y2 * w0 - y0 * w2), x2 * (y0 * w1 - y1 * w0)
        volume = t0 + t1 + t2
        if not (FLAT * (abs(t0) + abs(t1) + abs(t2)) < abs(volume) < np.inf):
            continue
        sign = math.copysign(1.0, volume)
        for row in range(top, bottom):
            y = (2 * row + 1) / height - 1
            v0, v1, v2 = sign * (y0 - y * w0), sign * (y1 - y * w1), sign * (y2 - y * w2)
            for column in range(left, right):
                x = (2 * column + 1) / width - 1
                u0, u1, u2 = x0 - x * w0, x1 - x * w1, x2 - x * w2
                a, b, c = u1 * v2 - v1 * u2, u2 * v0 - v2 * u0, u0 * v1 - v0 * u1
                if not (a >= 0 and b >= 0 and c >= 0):
                    continue
                depth = (a * z0 + b * z1 + c * z2) / (a * w0 + b * w1 + c * w2)
                if -1 <= depth <= 1 and depth < nearest[row, column]:
                    nearest[row, column] = depth
                    rast[row, column, 0] = a / (a + b + c)
                    rast[row, column, 1] = b / (a + b + c)
                    rast[row, column, 2] = depth
                    rast[row, column, 3] = f + 1


@cached_njit(error_model="numpy", nogil=True)
def _view_backward(
    clip,            # in:  [v, 4], float64
    rast, rast_bar,  # in:  [h, w, 4]
    clip_bar,        # out: [v, 4], zero at first
    faces,           # in:  [f, 3]
):  # fmt: skip
    # With s = Σ a_i, t = ū u + v̄ v and W = Σ a_i w_i:
    #   ā_0 = (ū − t)/s, ā_1 = (v̄ − t)/s, ā_2 = −t/s, each plus d̄ (z_i − d w_i)/W for the depth d
    #   z̄_i = d̄ a_i/W, w̄_i = −d̄ d a_i/W
    # and a_i = q_j × q_k gives q̄_j = ā_i (q_k,y, −q_k,x), q̄_k = ā_i (−q_j,y, q_j,x).
    height, width, _ = rast.shape
    a, a_bar, qx, qy = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    for row in range(height):
        y = (2 * row + 1) / height - 1
        for column in range(width):
            if rast[row, column, 3] == 0:
                continue
            x = (2 * column + 1) / width - 1
            corners = faces[int(rast[row, column, 3]) - 1]
            for i in range(3):
                w = clip[corners[i], 3]
                qx[i] = clip[corners[i], 0] - x * w
                qy[i] = clip[corners[i], 1] - y * w
            total, numerator, denominator = 0.0, 0.0, 0.0
            for i in range(3):
                j, k = (i + 1) % 3, (i + 2) % 3
                a[i] = qx[j] * qy[k] - qy[j] * qx[k]
                total += a[i]
                numerator += a[i] * clip[corners[i], 2]
                denominator += a[i] * clip[corners[i], 3]
            if total == 0 or denominator == 0:
                continue
            depth = numerator / denominator
            u_bar, v_bar = rast_bar[row, column, 0], rast_bar[row, column, 1]
            depth_bar = rast_bar[row, column, 2] / denominator
            shared = (u_bar * a[0] + v_bar * a[1]) / total
            a_bar[0] = (u_bar - shared) / total
            a_bar[1] = (v_bar - shared) / total
            a_bar[2] = -shared / total
            for i in range(3):
                z, w = clip[corners[i], 2], clip[corners[i], 3]
                a_bar[i] += depth_bar * (z - depth * w)
                clip_bar[corners[i], 2] += depth_bar * a[i]
                clip_bar[corners[i], 3] -= depth_bar * a[i] * depth
            for i in range(3):
                j, k = (i + 1) % 3, (i + 2) % 3
                qx_bar = a_bar[k] * qy[j] - a_bar[j] * qy[k]
                qy_bar = a_bar[j] * qx[k] - a_bar[k] * qx[j]
                clip_bar[corners[i], 0] += qx_bar
                clip_bar[corners[i], 1] += qy_bar
                clip_bar[corners[i], 3] -= x * qx_bar + y * qy_bar


@cached_njit(error_model="numpy", nogil=True)
def _view_interpolate(
    attributes,  # in:  [v, c]
    rast,        # in:  [h, w, 4]
    out,         # out: [h, w, c]
    faces,       # in:  [f, 3]
):  # fmt: skip
    height, width, channels = out.shape
    for row in range(height):
        for column in range(width):
            u, v = rast[row, column, 0], rast[row, column, 1]
            f = int(rast[row, column, 3]) - 1
            for c in range(channels):
                if f < 0:
                    out[row, column, c] = 0
                else:
                    out[row, column, c] = (
                        u * attributes[faces[f, 0], c]
                        + v * attributes[faces[f, 1], c]
                        + (1 - u - v) * attributes[faces[f, 2], c]
                    )


@cached_njit(error_model="numpy", nogil=True)
def _view_interpolate_backward(
    attributes,      # in:  [v, c]
    rast,            # in:  [h, w, 4]
    out_bar,         # in:  [h, w, c]
    attributes_bar,  # out: [v, c], zero at first
    rast_bar,        # out: [h, w, 4], zero at first
    faces,           # in:  [f, 3]
):  # fmt: skip
    height, width, channels = out_bar.shape
    for row in range(height):
        for column in range(width):
            f = int(rast[row, column, 3]) - 1
            if f < 0:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            u, v = rast[row, column, 0], rast[row, column, 1]
            for c in range(channels):
                bar = out_bar[row, column, c]
                attributes_bar[i, c] += u * bar
                attributes_bar[j, c] += v * bar
                attributes_bar[k, c] += (1 - u - v) * bar
                rast_bar[row, column, 0] += bar * (attributes[i, c] - attributes[k, c])
                rast_bar[row, column, 1] += bar * (attributes[j, c] - attributes[k, c])


class Rasterize(Function):
    """`rasterize` with its analytic gradient; the definition is `surface.reference.rasterize`."""

    @staticmethod
    def forward(ctx: FunctionCtx, clip: Tensor, faces: Tensor, size: tuple[int, int]) -> Tensor:
        clip, faces = clip.detach().contiguous(), faces.contiguous()
        views, vertices, _ = clip.shape
        rast = torch.empty(views, *size, 4)
        scratch = np.empty((views, vertices, 2)), np.empty((views, *size))
        exact = clip.double().numpy()
        each_view(_view_forward, exact, *scratch, rast.numpy(), shared=(faces.numpy(),))
        ctx.save_for_backward(clip, faces, rast)
        return rast

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, rast_bar: Tensor) -> tuple[Tensor, None, None]:
        clip, faces, rast = ctx.saved_tensors
        clip_bar = torch.zeros_like(clip, dtype=torch.float64)
        per_view = (clip.double(), rast.detach(), rast_bar.contiguous(), clip_bar)
        each_view(_view_backward, *(x.numpy() for x in per_view), shared=(faces.numpy(),))
        return clip_bar.float(), None, None


class Interpolate(Function):
    """`interpolate` with its gradient; the definition is `surface.reference.interpolate`."""

    @staticmethod
    def forward(ctx: FunctionCtx, attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
        attributes, rast = attributes.detach().contiguous(), rast.detach().contiguous()
        faces = faces.contiguous()
        out = torch.empty(*rast.shape[:3], attributes.shape[-1])
        per_view = (x.numpy() for x in (attributes, rast, out))
        each_view(_view_interpolate, *per_view, shared=(faces.numpy(),))
        ctx.save_for_backward(attributes, rast, faces)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, out_bar: Tensor) -> tuple[Tensor, Tensor, None]:
        attributes, rast, faces = ctx.saved_tensors
        attributes_bar = torch.zeros_like(attributes, dtype=torch.float64)
        rast_bar = torch.zeros_like(rast)
        per_view = (attributes, rast, out_bar.contiguous(), attributes_bar, rast_bar)
        each_view(
            _view_interpolate_backward, *(x.numpy() for x in per_view), shared=(faces.numpy(),)
        )
        return attributes_bar.float(), rast_bar, None
