"""Least traffic and arithmetic of each operator, for both passes and any implementation.

The traffic counts every array once (gathers that miss a cache move more); the arithmetic counts
the multiplications and additions of the definition's formula. Bytes are of float32 and int64.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from xbind.bench.timing import Work
from xbind.kernels.augment.reference import taps_per_pixel

ONE_PASS = ("march",)
"""Operators whose work has no backward half."""


def hash_encode_work(points: int, levels: int, entries: int, features: int) -> Work:
    """Eight corners of a cell in each level, blended."""
    encoded, table = points * levels * features, levels * entries * features
    per_corner = 2 * 8 * features  # multiply and add, 8 vertices
    moved = 4 * (6 * points + 2 * encoded + 2 * table)
    return Work(moved, 2 * points * levels * (per_corner + 30))


def grid_mlp_work(points: int, table: Tensor, hidden: Tensor, output: Tensor) -> Work:
    """The grid, and three products per layer: one forward, two backward."""
    grid = hash_encode_work(points, *table.shape)
    weights = hidden.numel() + output.numel()
    numbers = 2 * points * len(output) + 3 * weights
    return Work(grid.bytes + 4 * numbers, grid.flops + 3 * 2 * points * weights)


def augment_work(image_numbers: int, pixels: int, looks: int) -> Work:
    """A warp per look-up, three channels; a look-up reads what its neighbours have just read."""
    return Work(4 * (2 * 3 * pixels + 2 * image_numbers), 2 * looks * (45 + 3 * 10))


def augment_looks(homography: Tensor, window: Tensor, view: Sequence[int], size: int) -> int:
    """Look-ups of one antialiased call."""
    return size**2 * int(taps_per_pixel(homography, window, view, size).prod(-1).sum())


def composite_work(samples: int, rays: int) -> Work:
    """Colour, opacity, depth and z-variance."""
    return Work(4 * (20 * samples + 14 * rays), 65 * samples)


def march_work(samples: int, rays: int, cells: int) -> Work:
    """Forward only: there is no gradient."""
    return Work(28 * rays + cells + 28 * samples, 50 * samples)


def group_norm_work(numbers: int) -> Work:
    """Group norm and SiLU of so many numbers, with the gradient in them."""
    return Work(4 * 4 * numbers, 45 * numbers)


def rasterize_work(faces: int, vertices: int, pixels: int) -> Work:
    """Returns the least work of rasterising all views."""
    return Work(24 * faces + 48 * vertices + 32 * pixels, 60 * faces + 150 * pixels)


def interpolate_work(faces: int, vertices: int, pixels: int) -> Work:
    """Three numbers per vertex."""
    return Work(24 * faces + 24 * vertices + 72 * pixels, 45 * pixels)


def antialias_work(vertices: int, pixels: int) -> Work:
    """Three channels."""
    return Work(64 * pixels + 64 * vertices, 12 * pixels)


def marching_work(tets: int, grid_vertices: int, faces: int, vertices: int) -> Work:
    """Signs on the grid, and the mesh's vertices on its edges."""
    moved = 32 * tets + 32 * grid_vertices + 24 * faces + 80 * vertices
    return Work(moved, 2 * 15 * vertices)


def work_of(name: str, inputs: Any, result: Any) -> Work | None:  # noqa: ANN401
    """Work of one call of an operator, both passes; None for one that is not counted.

    Args:
        name: of the operator.
        inputs: its positional arguments.
        result: what it returned.
    """
    match name:
        case "grid_mlp":
            return grid_mlp_work(len(inputs[0]), *inputs[1:4])
        case "march":
            cells = 0 if inputs[2] is None else inputs[2].numel()
            return march_work(len(result.t), len(inputs[0]), cells)
        case "composite":
            return composite_work(len(inputs[0]), len(inputs[2].offsets) - 1)
        case "ms_augment":
            image, homography, window, size = inputs[:4]
            looks = augment_looks(homography, window, image.shape[-2:], size)
            return augment_work(image.numel(), result[:, 0].numel(), looks)
        case "rasterize":
            views, vertices = inputs[0].shape[:2]
            faces = views * len(inputs[1])
            return rasterize_work(faces, views * vertices, result[..., 0].numel())
        case "interpolate":
            views, faces = len(inputs[1]), len(inputs[1]) * len(inputs[2])
            return interpolate_work(faces, views * inputs[0].shape[-2], result[..., 0].numel())
        case "antialias":
            return antialias_work(inputs[2][..., 0].numel(), result[..., 0].numel())
        case "marching_tetrahedra":
            found = len(result.faces), len(result.vertices)
            return marching_work(len(inputs[2]), len(inputs[0]), *found)
    return None
