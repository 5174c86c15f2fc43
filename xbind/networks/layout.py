"""Memory layout of a bundle's convolutional networks in torch on a GPU."""

from typing import Any

from xbind.models.channels_last import channels_last
from xbind.networks.frozen import Bundle


def use_channels_last(bundle: Bundle) -> None:
    """Lay out UNets and autoencoders with channels last, norms fused with their SiLU; in place.

    For half precision on CUDA: there cuDNN computes with channels last, whatever it is given. In
    float32 the networks stay as they are.
    """
    priors = (bundle.unclip, bundle.zero123)
    nets: list[Any] = [net for prior in priors for net in (prior.unet, prior.vae)]
    for net in [*nets, *([] if bundle.taesd is None else [bundle.taesd])]:
        channels_last(net)
