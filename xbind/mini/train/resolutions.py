"""What is trained at each size of the rendered pictures: shapes of the VAE and of the 2D prior."""

from dataclasses import dataclass

from xbind.errors import XBindError


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The networks that see pictures of one size."""

    image_size: int
    """Side of the pictures, in pixels."""
    widths: tuple[int, ...]
    """Channels of the VAE's blocks; every one but the last halves the side."""
    channels: int
    """Channels of the latents."""
    crop_px: int
    """Side of the crops of the first part of the VAE's training, in pixels."""
    view_words: bool
    """True if the 2D prior is trained with view words from the start; else they are an adapter that
    is trained afterwards (`xbind.mini.train.view_words`)."""

    @property
    def factor(self) -> int:
        """Pixels that one latent stands for, along each side."""
        return 1 << (len(self.widths) - 1)

    @property
    def latent_size(self) -> int:
        """Side of the latents."""
        return self.image_size // self.factor


RESOLUTIONS = {
    resolution.image_size: resolution
    for resolution in (
        Resolution(image_size=64, widths=(16, 32, 64), channels=4, crop_px=40, view_words=False),
        # A factor of 8 leaves the UNet's cost as it is. 16 channels would gain 0.6 dB in the VAE,
        # and give the prior twice as much to learn.
        Resolution(
            image_size=128, widths=(16, 32, 64, 64), channels=8, crop_px=64, view_words=True
        ),
    )
}
"""Side of the pictures → what is trained at it."""
SMALL = RESOLUTIONS[64]
"""The resolution of the shipped bundle, and of every network but the 2D prior and its VAE."""


def resolution_of(image_size: int) -> Resolution:
    """The resolution of pictures of that side.

    Raises:
        XBindError: there is none.
    """
    if image_size not in RESOLUTIONS:
        known = " or ".join(str(size) for size in RESOLUTIONS)
        raise XBindError(
            f"The world was rendered at {image_size} px; the networks are trained at {known} px.\n"
            f"Render it again with one of these as --size."
        )
    return RESOLUTIONS[image_size]


def resolution_with(channels: int) -> Resolution:
    """The resolution whose latents have so many channels.

    Raises:
        XBindError: there is none.
    """
    for resolution in RESOLUTIONS.values():
        if resolution.channels == channels:
            return resolution
    raise XBindError(
        f"The trainer knows no latents of {channels} channels.\n"
        "Train the VAE again with:  python -m xbind.mini.train vae"
    )
