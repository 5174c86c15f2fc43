"""`interpolate` in Triton: one program per block of pixels, all channels at once."""

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
def _corners(rast_ptr, face_ptr, pixel, inside):
    """Weights u and v at each pixel, whether a face is seen there, and its three vertices."""
    u = tl.load(rast_ptr + 4 * pixel, mask=inside, other=0.0)
    v = tl.load(rast_ptr + 4 * pixel + 1, mask=inside, other=0.0)
    face = tl.load(rast_ptr + 4 * pixel + 3, mask=inside, other=0.0)
    seen = face >= 1
    corner = face_ptr + 3 * (face.to(tl.int64) - 1)
    i = tl.load(corner, mask=seen, other=0)
    j = tl.load(corner + 1, mask=seen, other=0)
    k = tl.load(corner + 2, mask=seen, other=0)
    return u, v, seen, i, j, k


@triton.jit
def _fwd_kernel(
    attribute_ptr, rast_ptr, face_ptr,  # in:  [b, v, c] [b, h, w, 4] [f, 3]
    out_ptr,                            # out: [b, h, w, c]
    pixels, pixels_per_view, vertices,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    u, v, seen, i, j, k = _corners(rast_ptr, face_ptr, pixel, inside)
    lane = tl.arange(0, LANES)[None, :]
    mask = seen[:, None] & (lane < CHANNELS)
    first = pixel // pixels_per_view * vertices
    a = tl.load(attribute_ptr + (first + i)[:, None] * CHANNELS + lane, mask=mask, other=0.0)
    b = tl.load(attribute_ptr + (first + j)[:, None] * CHANNELS + lane, mask=mask, other=0.0)
    c = tl.load(attribute_ptr + (first + k)[:, None] * CHANNELS + lane, mask=mask, other=0.0)
    value = u[:, None] * a.to(tl.float32) + v[:, None] * b.to(tl.float32)
    value += (1 - u - v)[:, None] * c.to(tl.float32)
    value = tl.where(seen[:, None], value, 0.0)
    out = out_ptr + pixel[:, None] * CHANNELS + lane
    tl.store(out, value, mask=inside[:, None] & (lane < CHANNELS))


@triton.jit
def _bwd_kernel(
    attribute_ptr, rast_ptr, face_ptr,  # in:  [b, v, c] [b, h, w, 4] [f, 3]
    out_bar_ptr,                        # in:  [b, h, w, c]
    attribute_bar_ptr,                  # out: [b, v, c] float32, zero on entry
    rast_bar_ptr,                       # out: [b, h, w, 4]
    pixels, pixels_per_view, vertices,
    CHANNELS: tl.constexpr, LANES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    # value = u A_0 + v A_1 + (1 − u − v) A_2:  ū = Σ_c value̅ (A_0 − A_2),  A̅_0 += u value̅, …
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < pixels
    u, v, seen, i, j, k = _corners(rast_ptr, face_ptr, pixel, inside)
    lane = tl.arange(0, LANES)[None, :]
    mask = seen[:, None] & (lane < CHANNELS)
    first = pixel // pixels_per_view * vertices
    at_a = (first + i)[:, None] * CHANNELS + lane
    at_b = (first + j)[:, None] * CHANNELS + lane
    at_c = (first + k)[:, None] * CHANNELS + lane
    bar = tl.load(out_bar_ptr + pixel[:, None] * CHANNELS + lane, mask=mask, other=0.0)
    bar = bar.to(tl.float32)
    tl.atomic_add(attribute_bar_ptr + at_a, u[:, None] * bar, mask=mask, sem="relaxed")
    tl.atomic_add(attribute_bar_ptr + at_b, v[:, None] * bar, mask=mask, sem="relaxed")
    tl.atomic_add(attribute_bar_ptr + at_c, (1 - u - v)[:, None] * bar, mask=mask, sem="relaxed")
    c = tl.load(attribute_ptr + at_c, mask=mask, other=0.0).to(tl.float32)
    u_bar = tl.sum(
        bar * (tl.load(attribute_ptr + at_a, mask=mask, other=0.0).to(tl.float32) - c), 1
    )
    v_bar = tl.sum(
        bar * (tl.load(attribute_ptr + at_b, mask=mask, other=0.0).to(tl.float32) - c), 1
    )
    tl.store(rast_bar_ptr + 4 * pixel, u_bar, mask=inside)
    tl.store(rast_bar_ptr + 4 * pixel + 1, v_bar, mask=inside)
    tl.store(rast_bar_ptr + 4 * pixel + 2, tl.zeros((BLOCK,), tl.float32), mask=inside)
    tl.store(rast_bar_ptr + 4 * pixel + 3, tl.zeros((BLOCK,), tl.float32), mask=inside)


class _Interpolate(Function):
    """`surface.reference.interpolate` with its gradient; the attributes may be stored in half."""

    @staticmethod
    def forward(ctx: FunctionCtx, attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
        attributes, rast = attributes.detach().contiguous(), rast.detach().contiguous()
        faces = faces.contiguous()
        dtype = torch.promote_types(attributes.dtype, rast.dtype)
        out = rast.new_empty(*rast.shape[:3], attributes.shape[-1], dtype=dtype)
        _launch(_fwd_kernel, (attributes, rast, faces, out))
        ctx.save_for_backward(attributes, rast, faces)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, out_bar: Tensor) -> tuple[Tensor, Tensor, None]:
        attributes, rast, faces = ctx.saved_tensors
        sums = torch.zeros_like(attributes, dtype=torch.float32)
        rast_bar = torch.empty_like(rast)
        _launch(_bwd_kernel, (attributes, rast, faces, out_bar.contiguous(), sums, rast_bar))
        return sums.to(attributes.dtype), rast_bar, None


def _launch(kernel: triton.JITFunction, feeds: tuple[Tensor, ...]) -> None:
    attributes, rast = feeds[:2]
    views, height, width, _ = rast.shape
    _, vertices, channels = attributes.shape
    pixels = views * height * width
    if pixels * channels == 0:
        feeds[-1].zero_()  # no channels: nothing to read, and no gradient for u and v
        return
    with on_device_of(rast):
        kernel[(triton.cdiv(pixels, BLOCK),)](
            *feeds, pixels, height * width, vertices,
            CHANNELS=channels, LANES=triton.next_power_of_2(channels), BLOCK=BLOCK,
        )  # fmt: skip


def interpolate(attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
    """See `xbind.kernels.interpolate`."""
    return _Interpolate.apply(attributes, rast, faces)
