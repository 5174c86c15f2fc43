"""Image augmentation for training encoders: scale, shift, perspective, blur and noise."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def augment(
    x: Float[Tensor, "b 3 h w"], generator: torch.Generator, *, strongest: float = 0.35
) -> Float[Tensor, "b 3 h w"]:
    """Warp each image by its own random perspective; what comes from outside repeats the corner.

    Half of the images are hardly changed; the others are cropped down to `strongest` of their side,
    as the local views of the MS loss are. Some batches are blurred or noisy.
    """
    b, _, h, w = x.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    strong = uniform(b) < 0.5
    low = torch.where(strong, strongest, 0.85)
    scale = (low + (1.15 - low) * uniform(b)).view(b, 1, 1, 1)
    shift = (2 * uniform(b, 1, 1, 2) - 1) * (1 - scale).abs() * 0.8
    tilt = 0.15 * torch.randn(b, 1, 1, 2, generator=generator) * strong.view(b, 1, 1, 1)
    axis_y = (torch.arange(h) + 0.5) / h * 2 - 1
    axis_x = (torch.arange(w) + 0.5) / w * 2 - 1
    y, xx = torch.meshgrid(axis_y, axis_x, indexing="ij")
    grid = torch.stack([xx, y], -1)[None]
    grid = grid * scale / (1 + (grid * tilt).sum(-1, keepdim=True)) + shift
    background = x[..., :1, :1]
    warped = nn.functional.grid_sample(x - background, grid, align_corners=False) + background
    if uniform(1) < 0.25:
        warped = nn.functional.avg_pool2d(
            nn.functional.pad(warped, (1, 1, 1, 1), "replicate"), 3, 1
        )
    noise = 0.05 * (uniform(b, 1, 1, 1) < 0.3) * torch.randn(warped.shape, generator=generator)
    return (warped + noise).clamp(0, 1)


def reframe(
    x: Float[Tensor, "b 3 h w"],
    generator: torch.Generator,
    *,
    zoom: float = 0.28,
    shift: float = 0.12,
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, " b"]]:
    """Scale each image by a factor within 1 ± `zoom`, move it by up to `shift` of its half side.

    A picture that a user gives is framed by its outline, not by the distance it was taken from.

    Returns:
        The images, and how much larger the original was than each of them.
    """
    b = len(x)
    scale = 1 + zoom * (2 * torch.rand(b, generator=generator) - 1)
    affine = torch.zeros(b, 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = scale
    affine[:, :, 2] = shift * (2 * torch.rand(b, 2, generator=generator) - 1)
    grid = nn.functional.affine_grid(affine, list(x.shape), align_corners=False)
    background = x[..., :1, :1]
    moved = nn.functional.grid_sample(x - background, grid, align_corners=False) + background
    return moved, scale
