"""The three operators on CUDA, by nvdiffrast. The only file that imports it."""

from functools import cache

import nvdiffrast.torch as dr
import torch
from torch import Tensor


@cache
def _context(device: torch.device) -> dr.RasterizeCudaContext:
    """Returns the device's rasteriser context, which owns its buffers."""
    return dr.RasterizeCudaContext(device=device)


def rasterize(clip: Tensor, faces: Tensor, size: tuple[int, int]) -> Tensor:
    """See `xbind.kernels.rasterize`; without the gradient through z/w."""
    if len(faces) == 0:  # refused by nvdiffrast
        return clip.new_zeros(len(clip), *size, 4)
    rast, _ = dr.rasterize(_context(clip.device), clip.contiguous(), _int32(faces), size)
    return rast


def interpolate(attributes: Tensor, rast: Tensor, faces: Tensor) -> Tensor:
    """See `xbind.kernels.interpolate`."""
    if len(faces) == 0:
        return attributes.new_zeros(*rast.shape[:3], attributes.shape[-1])
    values, _ = dr.interpolate(attributes.contiguous(), rast.contiguous(), _int32(faces))
    return values


def antialias(image: Tensor, rast: Tensor, clip: Tensor, faces: Tensor) -> Tensor:
    """See `xbind.kernels.antialias`, which names the differences."""
    if len(faces) == 0:
        return image
    return dr.antialias(image.contiguous(), rast.contiguous(), clip.contiguous(), _int32(faces))


def _int32(faces: Tensor) -> Tensor:
    return faces.to(torch.int32).contiguous()
