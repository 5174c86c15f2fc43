"""The augmentation warp in Triton: one program per block of a result's pixels."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.gpu import on_device_of

BLOCK = 128
"""Pixels per program."""


@triton.jit
def _share(point, low, high, half_pixels):
    """Returns the share of a view's pixel around `point` between two sides of the window."""
    low, high = (point - low) * half_pixels + 0.5, (high - point) * half_pixels + 0.5
    low = tl.where(low > 0, low, 0.0)  # and 0 for what is not a number
    high = tl.where(high > 0, high, 0.0)
    share = tl.where(low < high, low, high)
    return tl.where(share < 1, share, 1.0)


@triton.jit
def _place(point, pixels):
    """The lower of the two pixels along an axis around `point`, and the other one's weight."""
    place = ((point + 1) * pixels - 1) * 0.5
    place = tl.where(place > 0, place, 0.0)
    place = tl.where(place < pixels - 1, place, pixels - 1.0)
    lower = tl.minimum(place.to(tl.int32), tl.maximum(pixels - 2, 0))
    return lower, place - lower


@triton.jit
def _trace(warp_ptr, window_ptr, k, x, y, height, width):
    """Returns the look-ups of result k: upper left tap, weights of right and lower taps, and s."""
    warp, window = warp_ptr + 9 * k, window_ptr + 4 * k
    w = tl.load(warp + 6) * x + (tl.load(warp + 7) * y + tl.load(warp + 8))
    u = (tl.load(warp) * x + (tl.load(warp + 1) * y + tl.load(warp + 2))) / w
    v = (tl.load(warp + 3) * x + (tl.load(warp + 4) * y + tl.load(warp + 5))) / w
    shown = _share(u, tl.load(window), tl.load(window + 2), width * 0.5)
    shown *= _share(v, tl.load(window + 1), tl.load(window + 3), height * 0.5)
    column, right = _place(u, width)
    row, down = _place(v, height)
    return row * width + column, right, down, shown


@triton.jit
def _centre(index, part, parts, size):
    """The centre of a part of a pixel along an axis, from −1 to 1 across the result."""
    return ((index * parts + part) + 0.5) * (2.0 / (size * parts)) - 1


@triton.jit
def _look(page, right, down, shown, x_step, y_step, is_shown):
    """Returns one channel of the cropped view on white, at the given points."""
    upper = tl.load(page, mask=is_shown, other=1.0).to(tl.float32) * (1 - right)
    upper += tl.load(page + x_step, mask=is_shown, other=1.0).to(tl.float32) * right
    lower = tl.load(page + y_step, mask=is_shown, other=1.0).to(tl.float32) * (1 - right)
    lower += tl.load(page + y_step + x_step, mask=is_shown, other=1.0).to(tl.float32) * right
    value = 1 - shown + shown * (upper * (1 - down) + lower * down)
    return tl.where(is_shown, value, 1.0)


@triton.jit
def _finish(total, mean_ptr, scale_ptr, c, share):
    """The mean over a pixel's parts, normalised."""
    return (total * share - tl.load(mean_ptr + c)) * tl.load(scale_ptr + c)


@triton.jit
def _fwd_kernel(
    image_ptr,                        # in:  [b, 3, h, w]
    warp_ptr, window_ptr, parts_ptr,  # in:  [k, 3, 3] [k, 4] [k, 2]
    mean_ptr, scale_ptr,              # in:  [3] [3]
    out_ptr,                          # out: [k, 3, s, s]
    n, size, height, width,
    BLOCK: tl.constexpr,
):  # fmt: skip
    k = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < size * size
    t_x, t_y = tl.load(parts_ptr + 2 * k), tl.load(parts_ptr + 2 * k + 1)
    x_step, y_step = tl.where(width > 1, 1, 0), tl.where(height > 1, width, 0)
    plane = height * width
    view = image_ptr + k // n * 3 * plane
    r = tl.zeros([BLOCK], tl.float32)
    g = tl.zeros([BLOCK], tl.float32)
    b = tl.zeros([BLOCK], tl.float32)
    for j in range(t_y):
        y = _centre(pixel // size, j, t_y, size)
        for i in range(t_x):
            x = _centre(pixel % size, i, t_x, size)
            tap, right, down, shown = _trace(warp_ptr, window_ptr, k, x, y, height, width)
            is_shown = inside & (shown > 0)
            page = view + tap
            r += _look(page, right, down, shown, x_step, y_step, is_shown)
            g += _look(page + plane, right, down, shown, x_step, y_step, is_shown)
            b += _look(page + 2 * plane, right, down, shown, x_step, y_step, is_shown)
    share = 1.0 / (t_x * t_y)
    out = out_ptr + k * 3 * size * size + pixel
    tl.store(out, _finish(r, mean_ptr, scale_ptr, 0, share), mask=inside)
    tl.store(out + size * size, _finish(g, mean_ptr, scale_ptr, 1, share), mask=inside)
    tl.store(out + 2 * size * size, _finish(b, mean_ptr, scale_ptr, 2, share), mask=inside)


@triton.jit
def _bwd_kernel(
    out_bar_ptr,                      # in:  [k, 3, s, s]
    warp_ptr, window_ptr, parts_ptr,  # in:  [k, 3, 3] [k, 4] [k, 2]
    scale_ptr,                        # in:  [3]
    image_bar_ptr,                    # out: [b, 3, h, w] float32, zero on entry
    n, size, height, width,
    BLOCK: tl.constexpr,
):  # fmt: skip
    # The result is affine in the view: each pixel's cotangent, times the same weights, is added to
    # the pixels that its parts were read from.
    k = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < size * size
    t_x, t_y = tl.load(parts_ptr + 2 * k), tl.load(parts_ptr + 2 * k + 1)
    x_step, y_step = tl.where(width > 1, 1, 0), tl.where(height > 1, width, 0)
    share = 1.0 / (t_x * t_y)
    for j in range(t_y):
        y = _centre(pixel // size, j, t_y, size)
        for i in range(t_x):
            x = _centre(pixel % size, i, t_x, size)
            tap, right, down, shown = _trace(warp_ptr, window_ptr, k, x, y, height, width)
            is_shown = inside & (shown > 0)
            for c in tl.static_range(3):
                out_bar = out_bar_ptr + (k * 3 + c) * size * size + pixel
                bar = tl.load(out_bar, mask=is_shown, other=0.0).to(tl.float32)
                bar = bar * tl.load(scale_ptr + c) * (shown * share)
                upper, lower = bar * (1 - down), bar * down
                page = image_bar_ptr + (k // n * 3 + c) * height * width + tap
                tl.atomic_add(page, upper * (1 - right), mask=is_shown, sem="relaxed")
                tl.atomic_add(page + x_step, upper * right, mask=is_shown, sem="relaxed")
                tl.atomic_add(page + y_step, lower * (1 - right), mask=is_shown, sem="relaxed")
                tl.atomic_add(page + y_step + x_step, lower * right, mask=is_shown, sem="relaxed")


class _Augment(Function):
    """`augment.reference.ms_augment` with its gradient; sums in float32, stored as the image is."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        image: Tensor,
        homography: Tensor,
        window: Tensor,
        taps: Tensor,
        size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> Tensor:
        image = image.detach().contiguous()
        _, _, height, width = image.shape
        warps, windows = homography.reshape(-1, 3, 3).contiguous(), window.reshape(-1, 4)
        windows, parts = windows.contiguous(), taps.reshape(-1, 2).int().contiguous()
        means, scale = torch.tensor(mean, device=image.device), torch.tensor(std).reciprocal()
        scale = scale.to(image.device)
        result = torch.empty(len(warps), 3, size, size, dtype=image.dtype, device=image.device)
        ctx.save_for_backward(warps, windows, parts, scale)
        ctx.image, ctx.n = (image.shape, image.dtype), homography.shape[1]
        if len(warps):
            with on_device_of(image):
                _fwd_kernel[triton.cdiv(size * size, BLOCK), len(warps)](
                    image, warps, windows, parts, means, scale, result,
                    ctx.n, size, height, width, BLOCK=BLOCK,
                )  # fmt: skip
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, result_bar: Tensor) -> tuple[Tensor | None, ...]:
        warps, windows, parts, scale = ctx.saved_tensors
        shape, dtype = ctx.image
        size = result_bar.shape[-1]
        image_bar = torch.zeros(shape, device=scale.device)
        if len(warps):
            with on_device_of(scale):
                _bwd_kernel[triton.cdiv(size * size, BLOCK), len(warps)](
                    result_bar.contiguous(), warps, windows, parts, scale, image_bar,
                    ctx.n, size, shape[2], shape[3], BLOCK=BLOCK,
                )  # fmt: skip
        return image_bar.to(dtype), *[None] * 6


def ms_augment(
    image: Tensor,
    homography: Tensor,
    window: Tensor,
    taps: Tensor,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """See `augment.reference.ms_augment`."""
    return _Augment.apply(image, homography, window, taps, size, mean, std)
