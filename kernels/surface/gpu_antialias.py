"""`antialias` in Triton: silhouettes (`surface.gpu_silhouettes`), blending, and both gradients.

Blending, and its gradient in the image, gather at every pixel what its four pairs say: they need no
atomics and are deterministic. Only the gradient in `clip` is added up by atomics, so its last bits
differ from run to run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.gpu import on_device_of
from xbind.kernels.surface.gpu_silhouettes import find_kernel, look, pair

BLOCK = 128
"""Pixels per program."""


@triton.jit
def _blend_kernel(
    image_ptr, alpha_ptr,  # in:  [p, c] [2, p]
    out_ptr,               # out: [p, c]
    pixels, width,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    lane = tl.arange(0, LANES)[None, :]
    mask = inside[:, None] & (lane < CHANNELS)
    at = image_ptr + pixel[:, None] * CHANNELS + lane
    own = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    total = own
    for axis in tl.static_range(2):
        stride = width if axis else 1
        alphas = alpha_ptr + pixel + axis * pixels
        alpha = tl.load(alphas, mask=inside, other=0.0)[:, None]
        after = tl.load(at + stride * CHANNELS, mask=mask & (alpha > 0), other=0.0)
        total += tl.where(alpha > 0, alpha * (after.to(tl.float32) - own), 0.0)
        alpha = tl.load(alphas - stride, mask=inside & (pixel >= stride), other=0.0)[:, None]
        before = tl.load(at - stride * CHANNELS, mask=mask & (alpha < 0), other=0.0)
        total += tl.where(alpha < 0, alpha * (own - before.to(tl.float32)), 0.0)
    tl.store(out_ptr + pixel[:, None] * CHANNELS + lane, total, mask=mask)


@triton.jit
def _image_bar_kernel(
    out_bar_ptr, alpha_ptr,  # in:  [p, c] [2, p]
    image_bar_ptr,           # out: [p, c]
    pixels, width,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # out[target] += α (I[second] − I[first]):  I̅[second] += α out̅[target],  I̅[first] −= the same
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    lane = tl.arange(0, LANES)[None, :]
    mask = inside[:, None] & (lane < CHANNELS)
    at = out_bar_ptr + pixel[:, None] * CHANNELS + lane
    own = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    total = own
    for axis in tl.static_range(2):
        stride = width if axis else 1
        alphas = alpha_ptr + pixel + axis * pixels
        alpha = tl.load(alphas, mask=inside, other=0.0)[:, None]
        after = tl.load(at + stride * CHANNELS, mask=mask & (alpha < 0), other=0.0)
        total -= alpha * tl.where(alpha > 0, own, after.to(tl.float32))
        alpha = tl.load(alphas - stride, mask=inside & (pixel >= stride), other=0.0)[:, None]
        before = tl.load(at - stride * CHANNELS, mask=mask & (alpha > 0), other=0.0)
        total += alpha * tl.where(alpha > 0, before.to(tl.float32), own)
    tl.store(image_bar_ptr + pixel[:, None] * CHANNELS + lane, total, mask=mask)


@triton.jit
def _add_end(
    clip_bar_ptr, clip_ptr, vertex, along_bar, across_bar, width, height, mask, AXIS: tl.constexpr
):
    """Hand an edge's end on the screen back to its vertex in clip space."""
    x_bar, y_bar = (across_bar, along_bar) if AXIS else (along_bar, across_bar)
    vertex *= 4
    w = tl.load(clip_ptr + vertex + 3, mask=mask, other=1.0).to(tl.float64)
    x_bar *= width / (2 * w)
    y_bar *= height / (2 * w)
    x = tl.load(clip_ptr + vertex, mask=mask, other=0.0)
    y = tl.load(clip_ptr + vertex + 1, mask=mask, other=0.0)
    w_bar = -(x_bar * x + y_bar * y) / w
    tl.atomic_add(clip_bar_ptr + vertex, x_bar.to(tl.float32), mask=mask, sem="relaxed")
    tl.atomic_add(clip_bar_ptr + vertex + 1, y_bar.to(tl.float32), mask=mask, sem="relaxed")
    tl.atomic_add(clip_bar_ptr + vertex + 3, w_bar.to(tl.float32), mask=mask, sem="relaxed")


@triton.jit
def _clip_bar_kernel(
    image_ptr, out_bar_ptr, rast_ptr, screen_ptr, clip_ptr,  # in
    alpha_ptr, up_ptr, down_ptr,                             # in:  [p] [p] [p]
    clip_bar_ptr,                                            # out: [b, v, 4], zero on entry
    pixels, height, width, vertices,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, AXIS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # α = ± (½ − d) and d = (1 − t) along_up + t along_down with t = across_up/(across_up −
    # across_down), so an end with share s = 1 − t or t has ∂d/∂along = s and
    # ∂d/∂across = s (along_down − along_up)/(across_up − across_down).
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    up = tl.load(up_ptr + pixel, mask=pixel < pixels, other=-1).to(tl.int64)
    down = tl.load(down_ptr + pixel, mask=pixel < pixels, other=0).to(tl.int64)
    mask = up >= 0
    if tl.max(mask.to(tl.int32), 0) > 0:
        alpha = tl.load(alpha_ptr + pixel, mask=mask, other=0.0)
        lane = tl.arange(0, LANES)[None, :]
        wide = mask[:, None] & (lane < CHANNELS)
        first = pixel[:, None] * CHANNELS + lane
        second = first + (width if AXIS else 1) * CHANNELS
        target = tl.where((alpha > 0)[:, None], first, second)
        jump = tl.load(image_ptr + second, mask=wide, other=0.0).to(tl.float32)
        jump -= tl.load(image_ptr + first, mask=wide, other=0.0).to(tl.float32)
        bar = tl.load(out_bar_ptr + target, mask=wide, other=0.0).to(tl.float32)
        alpha_bar = tl.sum(jump * bar, 1)
        _, _, here, there, sign = pair(rast_ptr, pixel, pixels, height, width, AXIS)
        view = pixel // (height * width) * vertices
        screen = screen_ptr + 2 * view
        along_a, across_a = look(screen, up, here, there, sign, mask, AXIS)
        along_b, across_b = look(screen, down, here, there, sign, mask, AXIS)
        gap = tl.where(mask, across_a - across_b, 1.0)
        t, lean = across_a / gap, (along_b - along_a) / gap
        # `along` is the screen's coordinate times the sign, and α has the sign once more
        along_bar, across_bar = -alpha_bar.to(tl.float64), -alpha_bar * sign * lean
        _add_end(
            clip_bar_ptr, clip_ptr, view + up, along_bar * (1 - t), across_bar * (1 - t),
            width, height, mask, AXIS,
        )  # fmt: skip
        _add_end(
            clip_bar_ptr, clip_ptr, view + down, along_bar * t, across_bar * t,
            width, height, mask, AXIS,
        )  # fmt: skip


class _Antialias(Function):
    """`surface.reference.antialias` with its analytic gradient; `image` may be stored in half."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, image: Tensor, rast: Tensor, clip: Tensor, faces: Tensor, table: Tensor
    ) -> Tensor:
        image, rast, clip, faces, table = (
            x.detach().contiguous() for x in (image, rast, clip, faces, table)
        )
        views, height, width, channels = image.shape
        pixels, vertices = views * height * width, clip.shape[1]
        screen = _project(clip, height, width)
        alpha = torch.empty(2, pixels, device=image.device)
        up, down = (torch.empty_like(alpha, dtype=torch.int32) for _ in range(2))
        out = torch.empty_like(image)
        blocks = triton.cdiv(pixels, BLOCK)
        if pixels * channels:
            with on_device_of(image):
                for axis in (0, 1):
                    find_kernel[(blocks,)](
                        rast, screen, faces, table, alpha[axis], up[axis], down[axis],
                        pixels, height, width, vertices, AXIS=axis, BLOCK=BLOCK,
                    )  # fmt: skip
                _blend_kernel[(blocks,)](
                    image, alpha, out, pixels, width, **_lanes(channels), BLOCK=BLOCK
                )
        ctx.save_for_backward(image, rast, screen, clip, alpha, up, down)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, out_bar: Tensor) -> tuple[Tensor, None, Tensor, None, None]:
        image, rast, screen, clip, alpha, up, down = ctx.saved_tensors
        views, height, width, channels = image.shape
        pixels, vertices = views * height * width, clip.shape[1]
        out_bar = out_bar.contiguous()
        image_bar = torch.empty_like(image)
        clip_bar = torch.zeros_like(clip)
        grid, lanes = (triton.cdiv(pixels, BLOCK),), _lanes(channels)
        if pixels * channels:
            with on_device_of(image):
                _image_bar_kernel[grid](
                    out_bar, alpha, image_bar, pixels, width, **lanes, BLOCK=BLOCK
                )
                for axis in (0, 1):
                    _clip_bar_kernel[grid](
                        image, out_bar, rast, screen, clip, alpha[axis], up[axis], down[axis],
                        clip_bar, pixels, height, width, vertices,
                        **lanes, AXIS=axis, BLOCK=BLOCK,
                    )  # fmt: skip
        return image_bar, None, clip_bar, None, None


def _project(clip: Tensor, height: int, width: int) -> Tensor:
    """Vertices in units of pixel centres [b, v, 2], float64; not a number behind the camera."""
    x, y, _, w = clip.double().unbind(-1)
    w = torch.where(w > 0, w, torch.nan)
    return torch.stack([(x / w + 1) * width / 2 - 0.5, (y / w + 1) * height / 2 - 0.5], -1)


def _lanes(channels: int) -> dict[str, int]:
    return {"CHANNELS": channels, "LANES": triton.next_power_of_2(channels)}


def antialias(image: Tensor, rast: Tensor, clip: Tensor, faces: Tensor, table: Tensor) -> Tensor:
    """See `xbind.kernels.antialias`."""
    return _Antialias.apply(image, rast, clip, faces, table)
