"""Group norm and SiLU in Triton, channels last; `group_norm.reference` has the letters.

Pixels lie one after the other in memory, each with all of its channels. A program takes some
groups of some pixels of a sample. Each direction is three kernels: sums of each part of the
pixels, the parts merged per group in a fixed order, and a map over all pixels. Nothing is atomic.

The forward pass merges means and second moments about them (M₂ = Σ (x − mean)²): no difference of
large numbers, where E[x²] − E[x]² loses all digits once |mean| is far above the deviation.

Gradient, with z̄ = ȳ f'(z), the cotangent c̄ = w z̄ of x̂, and means over a group:

    x̄ = (c̄ − mean(c̄) − x̂ mean(c̄ x̂)) / √(variance + eps)
    f'(z) = s (1 + z (1 − s)),   s = 1 / (1 + exp(−z))

x̂ and z are computed again from x, so that only x and two numbers per group are kept.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.gpu import on_device_of

MIN_LANES = 128
"""Channels beside one another in a program, at least; whole groups, each padded to a power of 2."""
TILE = 1024
"""Numbers that a program holds at once: 8 per thread of its four warps, 16 bytes in half."""
TILES, PROGRAMS = 32, 512
"""Tiles that a program takes, at most: fewer where there would be less than so many programs. More
tiles load what belongs to the channels less often; more programs keep more processors busy."""
OPTIONS = {"maxnreg": 128}
"""Compile options of all kernels. Without a limit of its own, ptxas spills some registers to fit
one more program beside the others."""
PARTS = 256
"""Parts that are merged at once."""


@triton.jit
def _channels(groups, WIDTH: tl.constexpr, SPAN: tl.constexpr, PADDED: tl.constexpr):
    """The channel of each lane, its group, and whether it is not padding."""
    lane = tl.arange(0, SPAN * PADDED)
    group = tl.program_id(1) * SPAN + lane // PADDED
    inside = (group < groups) & (lane % PADDED < WIDTH)
    return group * WIDTH + lane % PADDED, group, inside


@triton.jit
def _tile(first, end, channel, in_group, groups, WIDTH: tl.constexpr, PIXELS: tl.constexpr):
    """Where the numbers of some pixels of the program's sample lie, and which of them exist."""
    pixel = first + tl.arange(0, PIXELS)
    mask = (pixel < end)[:, None] & in_group[None, :]
    return pixel.to(tl.int64)[:, None] * (groups * WIDTH) + channel[None, :], mask


@triton.jit
def _per_group(x, SPAN: tl.constexpr, PADDED: tl.constexpr):
    return tl.sum(tl.reshape(x, (SPAN, PADDED)), 1)


@triton.jit
def _moments_kernel(
    x_ptr,                     # in:  [n, p, c]
    mean_part_ptr, m2_part_ptr,  # out: [n, parts, groups] ×2
    pixels, groups, part_pixels,
    WIDTH: tl.constexpr, SPAN: tl.constexpr, PADDED: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Mean and M₂ of each group over one part of the pixels."""
    channel, _, in_group = _channels(groups, WIDTH, SPAN, PADDED)
    sample = tl.program_id(2).to(tl.int64)
    x_ptr += sample * pixels * (groups * WIDTH)
    start = tl.program_id(0) * part_pixels
    end = tl.minimum(start + part_pixels, pixels)
    mean, m2 = tl.zeros((SPAN * PADDED,), tl.float32), tl.zeros((SPAN * PADDED,), tl.float32)
    for first in range(start, end, PIXELS):
        at, mask = _tile(first, end, channel, in_group, groups, WIDTH, PIXELS)
        x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        count = tl.minimum(end - first, PIXELS).to(tl.float32)
        tile_mean = tl.sum(x, 0) / count
        centred = tl.where(mask, x - tile_mean[None, :], 0.0)
        before = (first - start).to(tl.float32)
        gap, share = tile_mean - mean, count / (before + count)
        mean += gap * share
        m2 += tl.sum(centred * centred, 0) + gap * gap * before * share
    group_mean = _per_group(tl.where(in_group, mean, 0.0), SPAN, PADDED) / WIDTH
    spread = tl.broadcast_to(group_mean[:, None], (SPAN, PADDED))
    gap = tl.where(in_group, mean - tl.reshape(spread, (SPAN * PADDED,)), 0.0)
    group_m2 = _per_group(m2 + (end - start) * gap * gap, SPAN, PADDED)
    group = tl.program_id(1) * SPAN + tl.arange(0, SPAN)
    at = (sample * tl.num_programs(0) + tl.program_id(0)) * groups + group
    tl.store(mean_part_ptr + at, group_mean, mask=group < groups)
    tl.store(m2_part_ptr + at, group_m2, mask=group < groups)


@triton.jit
def _moments_merge_kernel(
    mean_part_ptr, m2_part_ptr,  # in:  [n, parts, groups] ×2
    mean_ptr, scale_ptr,         # out: [n, groups] ×2
    parts, pixels, groups, part_pixels, eps,
    WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Mean and 1/√(variance + eps) of a group of a sample."""
    group, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first = sample * parts * groups + group
    total = tl.zeros((PARTS,), tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        count = tl.minimum(pixels - part * part_pixels, part_pixels).to(tl.float32)
        part_mean = tl.load(mean_part_ptr + first + part * groups, mask=part < parts, other=0.0)
        total += tl.where(part < parts, part_mean * (count / pixels), 0.0)
    mean = tl.sum(total, 0)
    m2 = tl.zeros((PARTS,), tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        count = tl.minimum(pixels - part * part_pixels, part_pixels).to(tl.float32) * WIDTH
        gap = tl.load(mean_part_ptr + first + part * groups, mask=part < parts, other=0.0) - mean
        part_m2 = tl.load(m2_part_ptr + first + part * groups, mask=part < parts, other=0.0)
        m2 += tl.where(part < parts, part_m2 + count * gap * gap, 0.0)
    variance = tl.sum(m2, 0) / (1.0 * WIDTH * pixels)
    tl.store(mean_ptr + sample * groups + group, mean)
    tl.store(scale_ptr + sample * groups + group, 1.0 / tl.sqrt_rn(variance + eps))


@triton.jit
def _affine(weight_ptr, bias_ptr, mean_ptr, scale_ptr, channel, group, in_group, first):
    """Mean, 1/√(variance + eps), w and b of each lane."""
    mean = tl.load(mean_ptr + first + group, mask=in_group, other=0.0)
    scale = tl.load(scale_ptr + first + group, mask=in_group, other=0.0)
    weight = tl.load(weight_ptr + channel, mask=in_group, other=0.0).to(tl.float32)
    bias = tl.load(bias_ptr + channel, mask=in_group, other=0.0).to(tl.float32)
    return mean, scale, weight, bias


@triton.jit
def _apply_kernel(
    x_ptr, weight_ptr, bias_ptr,  # in:  [n, p, c] [c] [c]
    mean_ptr, scale_ptr,          # in:  [n, groups] ×2
    out_ptr,                      # out: [n, p, c]
    pixels, groups, part_pixels,
    SILU: tl.constexpr,
    WIDTH: tl.constexpr, SPAN: tl.constexpr, PADDED: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """y over one part of the pixels."""
    channel, group, in_group = _channels(groups, WIDTH, SPAN, PADDED)
    sample = tl.program_id(2).to(tl.int64)
    mean, scale, weight, bias = _affine(
        weight_ptr, bias_ptr, mean_ptr, scale_ptr, channel, group, in_group, sample * groups
    )
    start = tl.program_id(0) * part_pixels
    end = tl.minimum(start + part_pixels, pixels)
    for first in range(start, end, PIXELS):
        at, mask = _tile(first, end, channel, in_group, groups, WIDTH, PIXELS)
        at += sample * pixels * (groups * WIDTH)
        x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        z = (x - mean[None, :]) * (scale * weight)[None, :] + bias[None, :]
        y = z / (1.0 + tl.exp(-z)) if SILU else z
        tl.store(out_ptr + at, y, mask=mask)


@triton.jit
def _cotangent(x, out_bar, mean, scale, weight, bias, SILU: tl.constexpr):
    """x̂ and its cotangent c̄ = w ȳ f'(z)."""
    normalised = (x - mean[None, :]) * scale[None, :]
    bar = out_bar * weight[None, :]
    if SILU:
        z = normalised * weight[None, :] + bias[None, :]
        share = 1.0 / (1.0 + tl.exp(-z))
        bar *= share * (1.0 + z * (1.0 - share))
    return normalised, bar


@triton.jit
def _bar_sums_kernel(
    x_ptr, out_bar_ptr,                  # in:  [n, p, c] ×2
    weight_ptr, bias_ptr,                # in:  [c] ×2
    mean_ptr, scale_ptr,                 # in:  [n, groups] ×2
    bar_part_ptr, along_part_ptr,        # out: [n, parts, groups] ×2
    pixels, groups, part_pixels,
    SILU: tl.constexpr,
    WIDTH: tl.constexpr, SPAN: tl.constexpr, PADDED: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Σ c̄ and Σ c̄ x̂ of each group over one part of the pixels."""
    channel, group, in_group = _channels(groups, WIDTH, SPAN, PADDED)
    sample = tl.program_id(2).to(tl.int64)
    mean, scale, weight, bias = _affine(
        weight_ptr, bias_ptr, mean_ptr, scale_ptr, channel, group, in_group, sample * groups
    )
    start = tl.program_id(0) * part_pixels
    end = tl.minimum(start + part_pixels, pixels)
    bars, along = tl.zeros((SPAN * PADDED,), tl.float32), tl.zeros((SPAN * PADDED,), tl.float32)
    for first in range(start, end, PIXELS):
        at, mask = _tile(first, end, channel, in_group, groups, WIDTH, PIXELS)
        at += sample * pixels * (groups * WIDTH)
        x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        out_bar = tl.load(out_bar_ptr + at, mask=mask, other=0.0).to(tl.float32)
        normalised, bar = _cotangent(x, out_bar, mean, scale, weight, bias, SILU)
        bars += tl.sum(tl.where(mask, bar, 0.0), 0)
        along += tl.sum(tl.where(mask, bar * normalised, 0.0), 0)
    lowest = tl.program_id(1) * SPAN + tl.arange(0, SPAN)
    at_part = (sample * tl.num_programs(0) + tl.program_id(0)) * groups + lowest
    tl.store(bar_part_ptr + at_part, _per_group(bars, SPAN, PADDED), mask=lowest < groups)
    tl.store(along_part_ptr + at_part, _per_group(along, SPAN, PADDED), mask=lowest < groups)


@triton.jit
def _bar_merge_kernel(
    bar_part_ptr, along_part_ptr,  # in:  [n, parts, groups] ×2
    bar_ptr, along_ptr,            # out: [n, groups] ×2
    parts, groups, count,
    PARTS: tl.constexpr,
):  # fmt: skip
    """mean(c̄) and mean(c̄ x̂) of a group of a sample with `count` numbers."""
    group, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    first = sample * parts * groups + group
    bars, along = tl.zeros((PARTS,), tl.float32), tl.zeros((PARTS,), tl.float32)
    for start in range(0, parts, PARTS):
        part = start + tl.arange(0, PARTS)
        bars += tl.load(bar_part_ptr + first + part * groups, mask=part < parts, other=0.0)
        along += tl.load(along_part_ptr + first + part * groups, mask=part < parts, other=0.0)
    tl.store(bar_ptr + sample * groups + group, tl.sum(bars, 0) / count)
    tl.store(along_ptr + sample * groups + group, tl.sum(along, 0) / count)


@triton.jit
def _bar_kernel(
    x_ptr, out_bar_ptr,    # in:  [n, p, c] ×2
    weight_ptr, bias_ptr,  # in:  [c] ×2
    mean_ptr, scale_ptr,   # in:  [n, groups] ×2
    bar_ptr, along_ptr,    # in:  [n, groups] ×2
    x_bar_ptr,             # out: [n, p, c]
    pixels, groups, part_pixels,
    SILU: tl.constexpr,
    WIDTH: tl.constexpr, SPAN: tl.constexpr, PADDED: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """x̄ over one part of the pixels."""
    channel, group, in_group = _channels(groups, WIDTH, SPAN, PADDED)
    sample = tl.program_id(2).to(tl.int64)
    mean, scale, weight, bias = _affine(
        weight_ptr, bias_ptr, mean_ptr, scale_ptr, channel, group, in_group, sample * groups
    )
    bar_mean = tl.load(bar_ptr + sample * groups + group, mask=in_group, other=0.0)
    along_mean = tl.load(along_ptr + sample * groups + group, mask=in_group, other=0.0)
    start = tl.program_id(0) * part_pixels
    end = tl.minimum(start + part_pixels, pixels)
    for first in range(start, end, PIXELS):
        at, mask = _tile(first, end, channel, in_group, groups, WIDTH, PIXELS)
        at += sample * pixels * (groups * WIDTH)
        x = tl.load(x_ptr + at, mask=mask, other=0.0).to(tl.float32)
        out_bar = tl.load(out_bar_ptr + at, mask=mask, other=0.0).to(tl.float32)
        normalised, bar = _cotangent(x, out_bar, mean, scale, weight, bias, SILU)
        x_bar = scale[None, :] * (bar - bar_mean[None, :] - normalised * along_mean[None, :])
        tl.store(x_bar_ptr + at, x_bar, mask=mask)


def tile_sizes(groups: int, width: int) -> dict[str, int]:
    """The compile-time constants for groups of `width` channels."""
    padded = triton.next_power_of_2(width)
    span = min(max(MIN_LANES // padded, 1), triton.next_power_of_2(groups))
    pixels = max(TILE // (span * padded), 1)
    return {"WIDTH": width, "SPAN": span, "PADDED": padded, "PIXELS": pixels}


class _Layout:
    """How the numbers of x as [n, p, c] are divided among programs."""

    def __init__(self, x: Tensor, groups: int) -> None:
        samples, pixels, channels = x.shape
        constants = tile_sizes(groups, channels // groups)
        spans = triton.cdiv(groups, constants["SPAN"])
        tiles = triton.cdiv(pixels, constants["PIXELS"])
        per_program = min(max(tiles * spans * samples // PROGRAMS, 1), TILES)
        part_pixels = per_program * constants["PIXELS"]
        self.parts = triton.cdiv(pixels, part_pixels)
        self.count = pixels * (channels // groups)
        self.sizes = pixels, groups, part_pixels
        self.options = {**constants, **OPTIONS}
        self.grid, self.merge_grid = (self.parts, spans, samples), (groups, samples)

    def empty(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Two tensors [n, parts, groups] and two [n, groups], in float32."""
        groups, samples = self.merge_grid
        a, b = torch.empty(2, samples, self.parts, groups, device=x.device)
        c, d = torch.empty(2, samples, groups, device=x.device)
        return a, b, c, d


class _GroupNorm(Function):
    """`group_norm.reference.group_norm` of x as [n, p, c], with its gradient in x."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        groups: int,
        eps: float,
        silu: bool,
    ) -> Tensor:
        x, weight, bias = (t.detach().contiguous() for t in (x, weight, bias))
        out, layout = torch.empty_like(x), _Layout(x, groups)
        *parts, mean, scale = layout.empty(x)
        with on_device_of(x):
            _moments_kernel[layout.grid](x, *parts, *layout.sizes, **layout.options)
            _moments_merge_kernel[layout.merge_grid](
                *parts, mean, scale, layout.parts, *layout.sizes, eps,
                WIDTH=layout.options["WIDTH"], PARTS=PARTS,
            )  # fmt: skip
            _apply_kernel[layout.grid](
                x, weight, bias, mean, scale, out, *layout.sizes, SILU=silu, **layout.options
            )
        ctx.save_for_backward(x, weight, bias, mean, scale)
        ctx.groups, ctx.silu = groups, silu
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, out_bar: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        x, *fixed = ctx.saved_tensors
        x_bar, layout = torch.empty_like(x), _Layout(x, ctx.groups)
        inputs = (x, out_bar.contiguous(), *fixed)
        *parts, bar_mean, along_mean = layout.empty(x)
        options = {"SILU": ctx.silu, **layout.options}
        with on_device_of(x):
            _bar_sums_kernel[layout.grid](*inputs, *parts, *layout.sizes, **options)
            _bar_merge_kernel[layout.merge_grid](
                *parts, bar_mean, along_mean, layout.parts, ctx.groups, layout.count, PARTS=PARTS
            )
            _bar_kernel[layout.grid](*inputs, bar_mean, along_mean, x_bar, *layout.sizes, **options)
        return x_bar, None, None, None, None, None


def group_norm(
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> Tensor:
    """See `xbind.kernels.group_norm`. A view of a tensor with channels last."""
    if x.numel() == 0:
        return x.clone()
    last = x.movedim(1, -1)  # [n, *size, c]
    flat = last.reshape(len(x), -1, x.shape[1])  # a view where channels lie last already
    out: Tensor = _GroupNorm.apply(flat, weight, bias, groups, eps, silu)
    return out.view(last.shape).movedim(-1, 1)
