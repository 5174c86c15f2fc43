"""Triangles to pixels, differentiable: rasterize → interpolate → antialias.

Conventions are nvdiffrast's: clip space in, row 0 of the image at y/w = −1, pixels sampled at their
centres, and a raster of (u, v, z/w, face + 1) per pixel, all zero where nothing is seen. Visibility
itself has no gradient; `antialias` gives the gradient of coverage at silhouettes.
"""

import importlib.util
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.kernels.common.choice import Form, check, choose, say
from xbind.kernels.errors import KernelError
from xbind.kernels.surface import reference as reference_surface

SurfaceForm = Form | Literal["nvdiffrast"]
SurfaceImpl = Literal["auto", "reference", "numba", "triton", "nvdiffrast"]


def rasterize(
    clip: Float[Tensor, "b v 4"],
    faces: Int[Tensor, "f 3"],
    size: tuple[int, int],
    *,
    impl: SurfaceImpl = "auto",
) -> Float[Tensor, "b h w 4"]:
    """Find the nearest triangle at every pixel centre of every view.

    Both sides of a triangle are drawn. Only points with −1 ≤ z/w ≤ 1 in front of the camera are
    seen; a triangle may have corners behind it (w ≤ 0). A triangle without area in the image, or
    with a corner that is not finite, is not drawn. On equal depth the lower face index wins.

    Args:
        clip: vertices in clip space, one set per view, float32 or float64.
        faces: vertex indices, int32 or int64, at most 2²⁴ of them.
        size: (height, width) in pixels.
        impl: `auto` is numba on the CPU and, on CUDA, nvdiffrast where it is installed, else
            `triton`, which shows the same faces as numba.

    Returns:
        (u, v, z/w, face + 1): u and v are the perspective-correct weights of the face's corners 0
        and 1 (corner 2 has 1 − u − v). Background is zero. Differentiable in `clip` through u, v
        and z/w; not through which face is seen. (nvdiffrast gives no gradient through z/w.)

    Raises:
        KernelError: a face names a vertex that does not exist, or `impl` cannot run there.
    """
    _check_faces(faces, clip.shape[1])
    _check_type(clip)
    match _choose("rasterize", impl, clip):
        case "reference":
            return reference_surface.rasterize(clip, faces.long(), size)
        case "numba":
            from xbind.kernels.surface.cpu_rasterize import Rasterize  # compiled on first use only

            return Rasterize.apply(clip, faces.long(), size)
        case "nvdiffrast":
            from xbind.kernels.vendor import nvdiffrast as nvdiffrast_surface

            return nvdiffrast_surface.rasterize(clip, faces, size)
        case "triton":
            from xbind.kernels.surface import gpu_rasterize

            face = gpu_rasterize.nearest_faces(clip, faces.long(), size)
            return reference_surface.locate(clip, faces.long(), face)


def interpolate(
    attributes: Float[Tensor, "*b v c"],
    rast: Float[Tensor, "b h w 4"],
    faces: Int[Tensor, "f 3"],
    *,
    impl: SurfaceImpl = "auto",
) -> Float[Tensor, "b h w c"]:
    """Blend the corners' attributes with the raster's weights.

    value = u A_0 + v A_1 + (1 − u − v) A_2, and 0 where nothing is seen.

    Args:
        attributes: [v, c] for all views, or [b, v, c].
        rast: what `rasterize` returned for the same `faces`.
        faces: vertex indices.
        impl: as in `rasterize`.

    Returns:
        One value per pixel. Differentiable in `attributes` and in the u, v of `rast`.

    Raises:
        KernelError: `rast` and `faces`, or `faces` and `attributes`, do not belong together.
    """
    _check_faces(faces, attributes.shape[-2])
    _check_raster(rast, faces)
    per_view = attributes.expand(len(rast), *attributes.shape[-2:])
    match _choose("interpolate", impl, attributes, rast):
        case "reference":
            return reference_surface.interpolate(per_view, rast, faces.long())
        case "numba":
            from xbind.kernels.surface.cpu_rasterize import Interpolate

            return Interpolate.apply(per_view, rast, faces.long())
        case "nvdiffrast":
            from xbind.kernels.vendor import nvdiffrast as nvdiffrast_surface

            return nvdiffrast_surface.interpolate(per_view, rast, faces)
        case "triton":
            from xbind.kernels.surface import gpu_interpolate

            return gpu_interpolate.interpolate(per_view, rast, faces.long())


def antialias(
    image: Float[Tensor, "b h w c"],
    rast: Float[Tensor, "b h w 4"],
    clip: Float[Tensor, "b v 4"],
    faces: Int[Tensor, "f 3"],
    *,
    table: Int[Tensor, "f 3"] | None = None,
    impl: SurfaceImpl = "auto",
) -> Float[Tensor, "b h w c"]:
    """Blend neighbouring pixels where a silhouette passes between their centres.

    For each two horizontal or vertical neighbours of unlike faces, start at the centre of the one
    whose face is nearer and walk towards the other until the surface ends: in an open edge, or in
    one whose next face folds back under it. If that happens at a distance d ≤ 1 pixel,

        d < ½: the near pixel takes ½ − d of its neighbour's colour
        d > ½: the neighbour takes d − ½ of the near pixel's

    which is exact coverage for an edge parallel to the pixel grid, and close to it otherwise. An
    edge counts for horizontal pairs if it is at least as tall as wide, else for vertical ones.

    Unlike nvdiffrast, the walk goes on through further triangles (up to 64) when the near pixel's
    own face ends before the silhouette, so meshes with triangles smaller than a pixel are smoothed
    too; an edge at exactly 45° is blended once; and no slop of 1/16 pixel is allowed on d. Edges
    of more than two faces count as open, as do both copies of a seam's edge: pass unwelded meshes
    only before they are cut. A silhouette with an end behind the camera is left as it is.

    Args:
        image: colours, one per pixel of `rast`.
        rast: what `rasterize` returned for `clip` and `faces`.
        clip: vertices in clip space.
        faces: vertex indices.
        table: `edge_table(faces)`, to be kept by callers whose faces do not change.
        impl: as in `rasterize`.

    Returns:
        The image, changed along silhouettes. Differentiable in `image` and, through d, in `clip`.

    Raises:
        KernelError: as in `interpolate`.
    """
    _check_faces(faces, clip.shape[1])
    _check_raster(rast, faces)
    _check_type(clip)
    chosen = _choose("antialias", impl, image, rast, clip)
    if chosen == "nvdiffrast":
        from xbind.kernels.vendor import nvdiffrast as nvdiffrast_surface

        return nvdiffrast_surface.antialias(image, rast, clip, faces)
    table = edge_table(faces) if table is None else _checked_table(table, faces)
    if chosen == "numba":
        from xbind.kernels.surface.cpu_antialias import Antialias

        return Antialias.apply(image, rast, clip, faces.long(), table)
    if chosen == "triton":
        from xbind.kernels.surface import gpu_antialias

        return gpu_antialias.antialias(image, rast, clip, faces.long(), table)
    return reference_surface.antialias(image, rast, clip, faces.long(), table)


def edge_table(faces: Int[Tensor, "f 3"]) -> Int[Tensor, "f 3"]:
    """Returns the neighbours of each face across its sides.

    Entry [f, k] = 3·g + j, int64: beyond the side of face f opposite its corner k lies face g,
    whose corner j is opposite to the same side. −1 where no face, or more than one, lies beyond.
    A face that names a vertex twice has no neighbours.
    """
    start, end = faces.roll(-1, 1).long(), faces.roll(-2, 1).long()
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    sides = torch.nonzero((low != high).all(1, keepdim=True).expand_as(faces).flatten())[:, 0]
    keys, order = torch.sort((low << 32 | high).flatten()[sides])
    _, edge, uses = torch.unique_consecutive(keys, return_inverse=True, return_counts=True)
    one, other = sides[order[(uses == 2)[edge]]].view(-1, 2).unbind(-1)
    table = torch.full((faces.numel(),), -1, device=faces.device)
    table[one], table[other] = other, one
    return table.view_as(faces)


def _choose(operator: str, impl: SurfaceImpl, *tensors: Tensor) -> SurfaceForm:
    """`choice.choose`, and nvdiffrast before all else on CUDA."""
    on_cuda = all(x.is_cuda for x in tensors)
    is_installed = importlib.util.find_spec("nvdiffrast") is not None
    if impl == "nvdiffrast" or (impl == "auto" and on_cuda and is_installed):
        if not (on_cuda and is_installed):
            raise KernelError(
                f"nvdiffrast {'works on CUDA only' if is_installed else 'is not installed'}, found "
                f"{', '.join(str(x.device) for x in tensors)}.\n"
                "Install it with:  pip install --no-build-isolation "
                "git+https://github.com/NVlabs/nvdiffrast.git\n"
                "or pass impl='auto'."
            )
        say(f"{operator} runs as nvdiffrast on cuda")
        return "nvdiffrast"
    return choose(operator, impl, *tensors)


def _check_faces(faces: Int[Tensor, "f 3"], vertices: int) -> None:
    """A wrong index would read memory that is not ours."""
    if len(faces) == 0:
        return
    low, high = (int(x) for x in torch.aminmax(faces))
    if low < 0 or high >= vertices:
        raise KernelError(
            f"Faces must name vertices 0 to {vertices - 1}, but they name {low} to {high}."
        )


def _check_raster(rast: Float[Tensor, "b h w 4"], faces: Int[Tensor, "f 3"]) -> None:
    _check_type(rast)
    seen = rast[..., 3].max().item() if rast.numel() else 0
    if not seen <= len(faces):  # also if it is not a number
        raise KernelError(
            f"The raster shows face {seen - 1:.0f}, but there are only {len(faces)} faces.\n"
            f"Pass the faces that were rasterised."
        )


def _checked_table(table: Int[Tensor, "f 3"], faces: Int[Tensor, "f 3"]) -> Int[Tensor, "f 3"]:
    """Not whether it is right, but that it leads nowhere outside."""
    low, high = torch.aminmax(table) if table.numel() else (-1, -1)
    check(
        table.shape == faces.shape and int(low) >= -1 and int(high) < faces.numel(),
        f"the edge table of these faces, {list(faces.shape)} with entries from −1",
        f"{list(table.shape)} with entries from {int(low)} to {int(high)}",
    )
    return table


def _check_type(x: Tensor) -> None:
    """Half precision has neither the pixels nor the face numbers."""
    kinds = (torch.float32, torch.float64)
    check(x.dtype in kinds, "clip space and rasters in float32 or float64", str(x.dtype))
