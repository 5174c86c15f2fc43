"""Convolutional networks with channels last in memory, for the tensor cores of GPUs.

cuDNN's kernels for half precision read channels last; with channels first it copies each tensor
before and after. torch's own group norm wants channels first on CUDA, which undoes what channels
last gains. So the norms of a network become `FusedGroupNorm`, with the SiLU that follows.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xbind.kernels import group_norm


class FusedGroupNorm(nn.Module):
    """Group norm, and SiLU after it where `silu` is set: one operator on CUDA.

    Elsewhere it is torch's own two operations, so that a module with it can still be recorded.
    """

    def __init__(self, norm: nn.GroupNorm, *, silu: bool) -> None:
        """Take over the weights of `norm`."""
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.groups, self.eps, self.silu = norm.num_groups, norm.eps, silu

    def forward(self, x: Float[Tensor, "b c *size"]) -> Float[Tensor, "b c *size"]:
        """Return y as `xbind.kernels.group_norm` defines it."""
        if _has_fused(x):
            return group_norm(
                x, self.weight, self.bias, groups=self.groups, eps=self.eps, silu=self.silu
            )
        z = functional.group_norm(x, self.groups, self.weight, self.bias, self.eps)
        return functional.silu(z) if self.silu else z


def _has_fused(x: Tensor) -> bool:
    return x.is_cuda


def channels_last(net: nn.Module) -> nn.Module:
    """The network, in place: weights of convolutions with channels last, and fused norms.

    A norm is fused with a SiLU in diffusers' residual blocks, and where a network has a
    `conv_norm_out` and a `conv_act`. Other group norms of images and attention become
    `FusedGroupNorm` without SiLU. The numbers are those of the network, up to rounding.

    Args:
        net: a frozen UNet or autoencoder of diffusers, or a module that holds one.
    """
    from diffusers.models.resnet import ResnetBlock2D  # seconds, where no network is loaded yet

    for module in list(net.modules()):
        if isinstance(module, ResnetBlock2D):
            _fuse_block(module)
        if isinstance(getattr(module, "conv_act", None), nn.SiLU):
            _fuse_end(module)
        for name in ("group_norm", "norm"):  # of an attention layer, and of a transformer
            _fuse(module, name, silu=False)
    to: Any = nn.Module.to  # its types leave the layout out
    to(net, memory_format=torch.channels_last)
    return net


def _fuse_block(block: Any) -> None:  # noqa: ANN401
    """norm1 → SiLU → conv1 (+ time embedding) → norm2 → SiLU → conv2, of a residual block."""
    norms = (block.norm1, block.norm2)
    if not (
        isinstance(block.nonlinearity, nn.SiLU)
        and block.time_embedding_norm != "scale_shift"  # which lies between norm2 and SiLU
        and all(isinstance(norm, nn.GroupNorm) and norm.affine for norm in norms)
    ):
        return
    if block.time_emb_proj is not None and not block.skip_time_act:
        # The block activates its time embedding by the same module as its norms' results.
        block.time_emb_proj = nn.Sequential(block.nonlinearity, block.time_emb_proj)
    block.norm1, block.norm2 = (FusedGroupNorm(norm, silu=True) for norm in norms)
    block.nonlinearity = nn.Identity()


def _fuse_end(net: Any) -> None:  # noqa: ANN401
    """conv_norm_out → SiLU → conv_out, of a UNet, an encoder or a decoder."""
    if _fuse(net, "conv_norm_out", silu=True):
        net.conv_act = nn.Identity()


def _fuse(parent: nn.Module, name: str, *, silu: bool) -> bool:
    """Fuse one norm, if it is a group norm with weights."""
    norm = getattr(parent, name, None)
    if not (isinstance(norm, nn.GroupNorm) and norm.affine):
        return False
    setattr(parent, name, FusedGroupNorm(norm, silu=silu))
    return True
