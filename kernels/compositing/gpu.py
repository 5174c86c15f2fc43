"""Volume rendering in Triton: one program per ray, which walks its samples block by block."""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.gpu import on_device_of
from xbind.kernels.common.samples import Composited, RaySamples
from xbind.kernels.compositing.reference import EMPTY

BLOCK = 64
"""Samples that a program holds at once: two per lane of its one warp."""
_EMPTY = tl.constexpr(EMPTY)


@triton.jit
def _absorbed(thickness):
    """1 − exp(−τ), exact for small τ too: by its series where the difference would cancel."""
    series = 1 - thickness / 5 * (1 - thickness / 6 * (1 - thickness / 7))
    series = 1 - thickness / 2 * (1 - thickness / 3 * (1 - thickness / 4 * series))
    is_small = tl.abs(thickness) < 0.25
    return tl.where(is_small, thickness * series, 1 - tl.exp(-thickness))


@triton.jit
def _fwd_kernel(
    density_ptr, colour_ptr, t_ptr, dt_ptr, offset_ptr,        # in:  [n] [n, 3] [n] [n] [r + 1]
    rgb_ptr, opacity_ptr, depth_ptr, variance_ptr,             # out: [r, 3] [r] [r] [r]
    weight_ptr, behind_ptr,                                    # out: [n] [n]
    BLOCK: tl.constexpr,
):  # fmt: skip
    # The variance of the blocks so far (M₂ = Σ w (t − mean)²) and that of the next one add up to
    #   M₂ + M₂' + (mean' − mean)² Σw Σw' / (Σw + Σw'):
    # one pass, and no difference of large numbers.
    ray = tl.program_id(0).to(tl.int64)
    first, end = tl.load(offset_ptr + ray), tl.load(offset_ptr + ray + 1)
    in_front, mass, reach, moment = 0.0, 0.0, 0.0, 0.0
    red, green, blue = 0.0, 0.0, 0.0
    for start in range(first, end, BLOCK):
        i = start + tl.arange(0, BLOCK)
        inside = i < end
        thickness = tl.load(density_ptr + i, mask=inside, other=0.0).to(tl.float32)
        thickness *= tl.load(dt_ptr + i, mask=inside, other=0.0)
        t = tl.load(t_ptr + i, mask=inside, other=0.0)
        reached = in_front + tl.cumsum(thickness, 0)
        # everything before sample i, without subtracting a thickness that may be infinite
        before = tl.load(density_ptr + i - 1, mask=inside & (i > start), other=0.0).to(tl.float32)
        before *= tl.load(dt_ptr + i - 1, mask=inside & (i > start), other=0.0)
        w = tl.exp(-(in_front + tl.cumsum(before, 0))) * _absorbed(thickness)
        w = tl.where(inside, w, 0.0)
        tl.store(weight_ptr + i, w, mask=inside)
        tl.store(behind_ptr + i, tl.exp(-reached), mask=inside)
        in_front += tl.sum(thickness)
        colour = colour_ptr + 3 * i
        red += tl.sum(w * tl.load(colour, mask=inside, other=0.0).to(tl.float32))
        green += tl.sum(w * tl.load(colour + 1, mask=inside, other=0.0).to(tl.float32))
        blue += tl.sum(w * tl.load(colour + 2, mask=inside, other=0.0).to(tl.float32))
        more, further = tl.sum(w), tl.sum(w * t)
        mean = further / tl.maximum(more, 1e-30)
        between = mean - reach / tl.maximum(mass, 1e-30)
        both = mass * more / tl.maximum(mass + more, 1e-30)
        moment += tl.sum(w * (t - mean) * (t - mean)) + between * between * both
        mass += more
        reach += further
    tl.store(rgb_ptr + 3 * ray, red)
    tl.store(rgb_ptr + 3 * ray + 1, green)
    tl.store(rgb_ptr + 3 * ray + 2, blue)
    tl.store(opacity_ptr + ray, mass)
    tl.store(depth_ptr + ray, reach)
    tl.store(variance_ptr + ray, tl.where(mass > _EMPTY, moment / tl.maximum(mass, _EMPTY), 0.0))


@triton.jit
def _bwd_kernel(
    colour_ptr, t_ptr, dt_ptr, offset_ptr,                           # in:  [n, 3] [n] [n] [r + 1]
    opacity_ptr, depth_ptr, variance_ptr, weight_ptr, behind_ptr,    # in:  [r] [r] [r] [n] [n]
    rgb_bar_ptr, opacity_bar_ptr, depth_bar_ptr, variance_bar_ptr,   # in:  [r, 3] [r] [r] [r]
    weight_bar_ptr,                                                  # in:  [n]
    density_bar_ptr, colour_bar_ptr,                                 # out: [n] [n, 3]
    BLOCK: tl.constexpr,
):  # fmt: skip
    # L reaches sample i through w_i only, and w_i through the thickness τ_i = density_i dt_i:
    #   g_i = ∂L/∂w_i = w̄_i + r̄gb·c_i + ō + d̄ t_i + σ̄² ((t_i − d_z)² − σ²) / Σw
    #   ∂w_i/∂τ_i = Π_{j≤i} (1 − α_j) = behind_i     ∂w_j/∂τ_i = −w_j for j > i
    ray = tl.program_id(0).to(tl.int64)
    first, end = tl.load(offset_ptr + ray), tl.load(offset_ptr + ray + 1)
    mass, variance = tl.load(opacity_ptr + ray), tl.load(variance_ptr + ray)
    inverse = tl.where(mass > _EMPTY, 1 / tl.maximum(mass, _EMPTY), 0.0)
    d_z = tl.where(mass > _EMPTY, tl.load(depth_ptr + ray) * inverse, 0.0)
    scale = tl.load(variance_bar_ptr + ray) * inverse
    red, green = tl.load(rgb_bar_ptr + 3 * ray), tl.load(rgb_bar_ptr + 3 * ray + 1)
    blue = tl.load(rgb_bar_ptr + 3 * ray + 2)
    opacity_bar, depth_bar = tl.load(opacity_bar_ptr + ray), tl.load(depth_bar_ptr + ray)
    hidden = 0.0  # Σ_{j>i} w_j g_j of the blocks beyond
    blocks = (end - first + BLOCK - 1) // BLOCK
    for done in range(blocks):
        i = first + (blocks - 1 - done) * BLOCK + tl.arange(0, BLOCK)
        inside = i < end
        t = tl.load(t_ptr + i, mask=inside, other=0.0)
        w = tl.load(weight_ptr + i, mask=inside, other=0.0)
        colour = colour_ptr + 3 * i
        g = tl.load(weight_bar_ptr + i, mask=inside, other=0.0) + opacity_bar + depth_bar * t
        g += red * tl.load(colour, mask=inside, other=0.0).to(tl.float32)
        g += green * tl.load(colour + 1, mask=inside, other=0.0).to(tl.float32)
        g += blue * tl.load(colour + 2, mask=inside, other=0.0).to(tl.float32)
        g += scale * ((t - d_z) * (t - d_z) - variance)
        part = tl.where(inside, w * g, 0.0)
        beyond = tl.cumsum(part, 0, reverse=True) - part
        behind = tl.load(behind_ptr + i, mask=inside, other=0.0)
        density_bar = tl.load(dt_ptr + i, mask=inside, other=0.0) * (behind * g - hidden - beyond)
        tl.store(density_bar_ptr + i, density_bar, mask=inside)
        bar = colour_bar_ptr + 3 * i
        tl.store(bar, w * red, mask=inside)
        tl.store(bar + 1, w * green, mask=inside)
        tl.store(bar + 2, w * blue, mask=inside)
        hidden += tl.sum(part)


class _Composite(Function):
    """`compositing.reference.composite` with its analytic gradient; everything in float32 but the
    storage of density and colour."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, density: Tensor, colour: Tensor, t: Tensor, dt: Tensor, offsets: Tensor
    ) -> tuple[Tensor, ...]:
        density, colour, t, dt, offsets = (
            x.detach().contiguous() for x in (density, colour, t, dt, offsets)
        )
        rays = len(offsets) - 1
        rgb = t.new_empty(rays, 3)
        opacity, depth, variance = (t.new_empty(rays) for _ in range(3))
        weights, behind = torch.empty_like(t), torch.empty_like(t)
        outputs = (rgb, opacity, depth, variance, weights)
        if rays:
            with on_device_of(t):
                _fwd_kernel[(rays,)](
                    density, colour, t, dt, offsets, *outputs, behind, BLOCK=BLOCK, num_warps=1
                )
        ctx.save_for_backward(colour, t, dt, offsets, *outputs[1:], behind)
        ctx.dtype = density.dtype
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *bars: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        colour, t = saved[:2]
        density_bar = torch.empty_like(t, dtype=ctx.dtype)
        colour_bar = torch.empty_like(colour)
        if len(bars[1]):
            with on_device_of(t):
                _bwd_kernel[(len(bars[1]),)](
                    *saved, *(bar.contiguous() for bar in bars), density_bar, colour_bar,
                    BLOCK=BLOCK, num_warps=1,
                )  # fmt: skip
        return density_bar, colour_bar, None, None, None


def composite(density: Tensor, colour: Tensor, samples: RaySamples) -> Composited:
    """See `compositing.reference.composite`."""
    return Composited(*_Composite.apply(density, colour, samples.t, samples.dt, samples.offsets))
