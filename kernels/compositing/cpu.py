"""Volume rendering on the CPU: one pass over each ray and its analytic gradient."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

from xbind.kernels.common.exponential import absorbed
from xbind.kernels.common.samples import Composited, RaySamples
from xbind.kernels.common.threads import in_pieces
from xbind.kernels.compositing.reference import EMPTY
from xbind.system.jit import cached_njit

# `no_type_check`: numba cannot compile what a run-time type checker has wrapped.
_FAST = {"contract", "nsz", "reassoc"}
_EMPTY = np.float32(EMPTY)
_ZERO, _ONE = np.float32(0), np.float32(1)
_NEXT = np.uint64(1)


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _forward(
    first_ray, end_ray,
    density, colour, t, dt, offsets,                              # in:  [n] [n, 3] [n] [n] [r + 1]
    rgb, opacity, depth, variance, weights, behind,               # out: [r, 3] [r] [r] [r] [n] [n]
):  # fmt: skip
    for ray in range(first_ray, end_ray):
        # unsigned: numba need not look for negative indices
        first, end = np.uint64(offsets[ray]), np.uint64(offsets[ray + 1])
        for i in range(
            first, end
        ):  # a loop of its own: without the running product, it is vector code
            weights[i] = absorbed(density[i] * dt[i])
        light, mass, reach = _ONE, _ZERO, _ZERO
        red, green, blue = _ZERO, _ZERO, _ZERO
        for i in range(first, end):
            w = light * weights[i]
            light -= w
            weights[i], behind[i] = w, light
            mass += w
            reach += w * t[i]
            red += w * colour[i, 0]
            green += w * colour[i, 1]
            blue += w * colour[i, 2]
        rgb[ray, 0], rgb[ray, 1], rgb[ray, 2] = red, green, blue
        opacity[ray], depth[ray] = mass, reach
        spread = _ZERO
        if mass > _EMPTY:
            for i in range(first, end):
                spread += weights[i] * (t[i] - reach / mass) ** 2
            spread /= mass
        variance[ray] = spread


@cached_njit(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check
def _backward(
    first_ray, end_ray,
    colour, t, dt, offsets, opacity, depth, variance, weights, behind,            # in
    rgb_bar, opacity_bar, depth_bar, variance_bar, weights_bar,                   # in; [n] or [0]
    density_bar, colour_bar,                                                      # out: [n] [n, 3]
):  # fmt: skip
    # L reaches sample i through w_i only, and w_i through the thickness τ_i = density_i dt_i:
    #   g_i = ∂L/∂w_i = w̄_i + r̄gb·c_i + ō + d̄ t_i + σ̄² ((t_i − d_z)² − σ²) / Σw
    #   ∂w_i/∂τ_i = Π_{j≤i} (1 − α_j) = behind_i     ∂w_j/∂τ_i = −w_j for j > i
    for ray in range(first_ray, end_ray):
        mass = opacity[ray]
        d_z, scale = _ZERO, _ZERO
        if mass > _EMPTY:
            d_z, scale = depth[ray] / mass, variance_bar[ray] / mass
        red, green, blue = rgb_bar[ray, 0], rgb_bar[ray, 1], rgb_bar[ray, 2]
        hidden = _ZERO  # Σ_{j>i} w_j g_j
        has_weights_bar = len(weights_bar) > 0
        end = np.uint64(offsets[ray + 1])
        for k in range(end - np.uint64(offsets[ray])):
            i = end - _NEXT - k
            w = weights[i]
            g = opacity_bar[ray] + depth_bar[ray] * t[i]
            if has_weights_bar:
                g += weights_bar[i]
            g += red * colour[i, 0] + green * colour[i, 1] + blue * colour[i, 2]
            g += scale * ((t[i] - d_z) ** 2 - variance[ray])
            density_bar[i] = dt[i] * (behind[i] * g - hidden)
            hidden += w * g
            colour_bar[i, 0], colour_bar[i, 1], colour_bar[i, 2] = w * red, w * green, w * blue


class _Composite(Function):
    """`compositing.reference.composite` with its analytic gradient."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, density: Tensor, colour: Tensor, t: Tensor, dt: Tensor, offsets: Tensor
    ) -> tuple[Tensor, ...]:
        inputs = tuple(x.detach().contiguous() for x in (density, colour, t, dt, offsets))
        rays = len(offsets) - 1
        rgb = torch.empty(rays, 3)
        opacity, depth, variance = (torch.empty(rays) for _ in range(3))
        weights, behind = torch.empty(len(t)), torch.empty(len(t))
        outputs = (rgb, opacity, depth, variance, weights)
        in_pieces(_forward, rays, *(x.numpy() for x in (*inputs, *outputs, behind)))
        ctx.save_for_backward(*inputs[1:], *outputs[1:], behind)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *bars: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        density_bar, colour_bar = torch.empty_like(saved[1]), torch.empty_like(saved[0])
        rays = len(saved[4])
        shapes = ((rays, 3), (rays,), (rays,), (rays,), (0,))
        cotangents = [
            torch.zeros(shape) if bar is None else bar.contiguous()
            for bar, shape in zip(bars, shapes, strict=True)
        ]
        outputs = (density_bar, colour_bar)
        in_pieces(_backward, rays, *(x.numpy() for x in (*saved, *cotangents, *outputs)))
        return density_bar, colour_bar, None, None, None


def composite(density: Tensor, colour: Tensor, samples: RaySamples) -> Composited:
    """See `compositing.reference.composite`."""
    return Composited(*_Composite.apply(density, colour, samples.t, samples.dt, samples.offsets))
