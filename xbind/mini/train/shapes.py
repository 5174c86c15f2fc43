"""Shapes of the latents that the priors see, one for each side of the rendered pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from xbind.errors import XBindError


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentShape:
    """A VAE's shape, which also says what latents a UNet denoises."""

    image_size: int
    """Side of the pictures, in pixels."""
    widths: tuple[int, ...]
    """Channels of the VAE's blocks; every one but the last halves the side."""
    channels: int
    """Channels of the latents."""
    crop_px: int
    """Side of the crops of the first part of the VAE's training, in pixels."""

    @property
    def factor(self) -> int:
        """Pixels that one latent stands for, along each side."""
        return 1 << (len(self.widths) - 1)

    @property
    def size(self) -> int:
        """Side of the latents."""
        return self.image_size // self.factor


SHAPES = {
    shape.image_size: shape
    for shape in (
        LatentShape(image_size=64, widths=(16, 32, 64), channels=4, crop_px=40),
        # factor 8 leaves the UNet's cost as it is; 16 channels gain 0.6 dB more, and give the
        # prior more to learn
        LatentShape(image_size=128, widths=(16, 32, 64, 64), channels=8, crop_px=64),
    )
}
"""Side of the pictures → shape of the latents."""


def shape_of_size(image_size: int) -> LatentShape:
    """The shape for pictures of that side.

    Raises:
        XBindError: there is none.
    """
    if image_size not in SHAPES:
        known = " or ".join(str(size) for size in SHAPES)
        raise XBindError(
            f"The world was rendered at {image_size} px; the networks are trained at {known} px.\n"
            f"Render it again with one of these as --size."
        )
    return SHAPES[image_size]


def shape_of_vae(state: Mapping[str, Tensor]) -> LatentShape:
    """The shape of the VAE that has these weights.

    Raises:
        XBindError: it is none of `SHAPES`.
    """
    channels = len(state["post_quant_conv.bias"])
    blocks = sum(name.endswith(".resnets.0.conv1.bias") for name in state if "down_blocks" in name)
    for shape in SHAPES.values():
        if (shape.channels, len(shape.widths)) == (channels, blocks):
            return shape
    raise XBindError(
        f"A VAE of {blocks} blocks and {channels} latent channels is none that the trainer knows.\n"
        "Train it again with:  python -m xbind.mini.train vae"
    )
