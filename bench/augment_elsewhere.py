"""The augmentation warp by kornia and torchvision, in an environment of their own.

    PYTHON bench/augment_elsewhere.py INPUTS.npz SECONDS THREADS CLOCK

That environment has torch, torchvision, kornia and numpy, and nothing of this project; the inputs,
and what the definition makes of them, come in a file. One JSON line per measurement goes to
standard output. `time_elsewhere` starts it from the bench.

Neither of them antialiases, so they are compared with one look-up per pixel. Both warp 1 − image on
black, which is the image on white: faster than their own ways of filling, of which torchvision's
has no gradient.
"""

import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from xbind.bench.timing import Clock

ALIKE = 2e-2
"""Largest mean difference from the definition, in units of the normalised image."""
CPU = torch.device("cpu")


def time_elsewhere(
    python: Path, views: int, arguments: Namespace
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Run this file with another Python; yield form, mode and quantiles of each measurement."""
    from xbind.bench.kernel_cases import SIDE, augment_inputs
    from xbind.kernels import ms_augment
    from xbind.models.preprocess import CLIP_MEAN, CLIP_STD

    image, homography, window, bar = augment_inputs(views)
    want = ms_augment(
        image, homography, window, SIDE, mean=CLIP_MEAN, std=CLIP_STD, antialias=False
    )
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        arrays = {"image": image, "homography": homography, "bar": bar, "want": want}
        plain: dict[str, Any] = {name: array.numpy() for name, array in arrays.items()}
        np.savez(inputs, mean=CLIP_MEAN, std=CLIP_STD, **plain)
        how = (str(arguments.seconds), str(arguments.threads), arguments.clock)
        command = [python, Path(__file__), inputs, *how]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} could not measure kornia and torchvision:\n{done.stderr}")
    for line in done.stdout.splitlines():
        record = json.loads(line)
        yield record.pop("form"), record.pop("mode"), record


def main(inputs: Path, seconds: float, threads: int, clock: "Clock") -> None:
    """Check that the variants do the same work, then time them."""
    # started as a file: its folder is on the path, and xbind is not
    from timing import quantiles_ms

    torch.set_num_threads(threads)
    loaded = np.load(inputs)
    given = {name: torch.from_numpy(loaded[name]) for name in loaded.files}
    image, bar = given["image"].requires_grad_(), given["bar"]
    size, n = bar.shape[-1], len(bar) // len(image)
    pixel_warps = _pixel_warps(given["homography"].double(), image.shape[-2:], size)
    mean, std = (given[name].float().view(3, 1, 1) for name in ("mean", "std"))
    for form, make in (("kornia", _kornia), ("torchvision", _torchvision)):
        warp = make(pixel_warps.flatten(0, 1), n, size)

        def forward(warp: Callable[[Tensor], Tensor] = warp) -> Tensor:
            return (warp(image) - mean) / std

        off = (forward() - given["want"]).abs().mean().item()
        if not off < ALIKE:
            sys.exit(f"{form} differs from the definition by {off:.3f} on average")

        def both(forward: Callable[[], Tensor] = forward) -> tuple[Tensor, ...]:
            return torch.autograd.grad(forward(), image, bar)

        steps: dict[str, Callable[[], object]] = {"forward": forward, "forward+backward": both}
        for mode, step in steps.items():
            spent = quantiles_ms(step, CPU, seconds=seconds, clock=clock)
            print(json.dumps({"form": form, "mode": mode, **asdict(spent)}))


def _pixel_warps(homography: Tensor, view: torch.Size, size: int) -> Tensor:
    """From pixels of the result to pixels of the view, pixel 0 centred at 0."""

    def to_unit(width: int, height: int) -> Tensor:  # pixel centres → −1 to 1 across the image
        return torch.tensor(
            [[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]],
            dtype=torch.float64,
        )

    return torch.linalg.inv(to_unit(view[1], view[0])) @ homography @ to_unit(size, size)


def _kornia(warps: Tensor, n: int, size: int) -> Callable[[Tensor], Tensor]:
    from kornia.geometry.transform import warp_perspective

    forward = torch.linalg.inv(warps).float()  # kornia wants the way from the view

    def warp(image: Tensor) -> Tensor:
        ink = (1 - image).repeat_interleave(n, 0)
        return 1 - warp_perspective(ink, forward, (size, size), align_corners=True)

    return warp


def _torchvision(warps: Tensor, n: int, size: int) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms.v2.functional import perspective

    # Its coefficients take corners, not centres, of pixels to one another.
    half = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    corners = half @ warps @ torch.linalg.inv(half)
    flat = (corners / corners[:, 2:, 2:]).flatten(1)[:, :8].tolist()

    def warp(image: Tensor) -> Tensor:
        if image.shape[-2:] != (size, size):
            raise ValueError(f"torchvision's warp keeps the size, {tuple(image.shape[-2:])}")
        ink = 1 - image
        results = [
            perspective(ink[k // n], None, None, coefficients=coefficients)
            for k, coefficients in enumerate(flat)
        ]
        return 1 - torch.stack(results)

    return warp


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), cast("Clock", sys.argv[4]))
