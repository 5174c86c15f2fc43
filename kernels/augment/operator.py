"""The image operator: the augmentations of the modality similarity loss (Eq. 2)."""

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.kernels.augment import reference as reference_augment
from xbind.kernels.common.choice import Impl, check, choose


def ms_augment(
    image: Float[Tensor, "b 3 h w"],
    homography: Float[Tensor, "b n 3 3"],
    window: Float[Tensor, "b n 4"],
    size: int,
    *,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    antialias: bool = True,
    impl: Impl = "auto",
) -> Float[Tensor, "k 3 {size} {size}"]:
    """Warp, crop, resize and normalise views: see `augment.reference.ms_augment`.

    Args:
        image: views in [0, 1].
        homography: from a result to its view, n for each view.
        window: the crops in the views.
        size: side of the result, in pixels.
        mean: subtracted, per channel.
        std: divided by, per channel.
        antialias: take the mean over a pixel's area where it covers several of the view's; False
            takes one look-up at its centre.
        impl: form of the operator.

    Raises:
        KernelError: the shapes do not fit, or `impl` cannot run there.
    """
    b, n = window.shape[:2]
    check(
        homography.shape == (b, n, 3, 3) and window.shape == (b, n, 4),
        "homographies as [b, n, 3, 3] and windows as [b, n, 4]",
        f"{list(homography.shape)} and {list(window.shape)}",
    )
    check(
        image.ndim == 4 and image.shape[:2] == (b, 3) and 0 not in image.shape,
        f"views as [{b}, 3, h, w], one for each row of warps",
        str(list(image.shape)),
    )
    check(size > 0 and len(mean) == len(std) == 3, "a positive size", str(size))
    homography, window = (x.detach().to(image.device) for x in (homography, window))
    if antialias:
        taps = reference_augment.taps_per_pixel(homography, window, image.shape[-2:], size)
    else:
        taps = torch.ones(b, n, 2, dtype=torch.int32, device=image.device)
    warps = homography.float(), window.float(), taps
    match choose("ms_augment", impl, image):
        case "numba":
            from xbind.kernels.augment import cpu as cpu_augment

            return cpu_augment.ms_augment(image, *warps, size, mean, std)
        case "triton":
            from xbind.kernels.augment import gpu as gpu_augment

            return gpu_augment.ms_augment(image, *warps, size, mean, std)
    return reference_augment.ms_augment(image, homography, window, taps, size, mean, std)
