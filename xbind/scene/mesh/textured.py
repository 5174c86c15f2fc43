"""A mesh with its texture, as read back from a GLB and shown as any viewer without lights would.

An object whose file names its light is shown under that light, whichever of its two textures the
file holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample

from xbind.errors import XBindError
from xbind.kernels import interpolate
from xbind.scene.appearance import Appearance, MaterialAt
from xbind.scene.cameras import Cameras
from xbind.scene.light import Light
from xbind.scene.materials import SurfaceMaterial
from xbind.scene.mesh.components import component_report
from xbind.scene.mesh.gltf import (
    binary_chunk,
    light_in,
    material_in,
    placement_in,
    read_document,
)
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.placement import z_up
from xbind.scene.mesh.render import SurfacePoints, render_mask, surface_points
from xbind.system.untrusted import fault_of, guarded


class UnreadableMesh(XBindError):
    """A GLB that is missing, damaged or without a texture."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """An object seen from `v` azimuths."""

    image: Float[Tensor, "v 3 s s"]
    """On white, in [0, 1]."""
    mask: Bool[Tensor, "v s s"]
    """The silhouettes."""

    def every(self, n: int) -> "Views":
        """Every n-th view."""
        return Views(self.image[::n], self.mask[::n])


@dataclass(frozen=True, slots=True, eq=False)
class TexturedMesh:
    """Content of a GLB, in the scene's frame."""

    mesh: Mesh
    uv: Float[Tensor, "v 2"]
    """In [0, 1], v upwards."""
    texture: Float[Tensor, "1 3 h w"]
    """In [0, 1], row 0 at v = 1."""
    light: Light | None = None
    """Light in which the object is shown; None shows the texture as it is."""
    surface_map: Float[Tensor, "1 3 h w"] | None = None
    """Roughness (green) and metalness (blue) in [0, 1], shown only under a light."""

    def welded(self) -> Mesh:
        """The surface without the texture's seams, where vertices are there twice."""
        vertices, faces = self.mesh.vertices.numpy(), self.mesh.faces.numpy()
        whole = trimesh.Trimesh(vertices, faces, process=True)
        return Mesh(
            torch.from_numpy(np.asarray(whole.vertices, np.float32)),
            torch.from_numpy(np.asarray(whole.faces, np.int64)),
        )

    @property
    def components(self) -> int:
        """Parts that hang together."""
        return len(component_report(self.welded()))

    def views(self, cameras: Cameras, size: int) -> Views:
        """Shown on white, `size` pixels a side."""
        points = surface_points(self.mesh, cameras, size)
        at = interpolate(self.uv, points.rast, self.mesh.faces)
        grid = torch.stack([2 * at[..., 0] - 1, 1 - 2 * at[..., 1]], -1)
        colour = _sampled(self.texture, grid)
        if self.light is not None:
            colour = self._lit(colour, grid, points, cameras)
        coverage = render_mask(self.mesh, cameras, size)
        return Views(coverage * colour + 1 - coverage, coverage[:, 0] > 0.5)

    def smooth_normals(self) -> Float[Tensor, "v 3"]:
        """Vertex normals, as if no vertex were there twice."""
        places, index = np.unique(self.mesh.vertices.numpy(), axis=0, return_inverse=True)
        corners = torch.from_numpy(index.reshape(-1).astype(np.int64))
        whole = Mesh(torch.from_numpy(places), corners[self.mesh.faces])
        return whole.vertex_normals()[corners]

    def _lit(
        self,
        colour: Float[Tensor, "v 3 s s"],
        grid: Float[Tensor, "v s s 2"],
        points: SurfacePoints,
        cameras: Cameras,
    ) -> Float[Tensor, "v 3 s s"]:
        """The texture's colours under the object's light, where a pixel shows the mesh."""
        mask = points.mask
        normals = interpolate(self.smooth_normals(), points.rast, self.mesh.faces)[mask]
        base = colour.movedim(1, -1)[mask]
        material: MaterialAt | None = None
        if self.surface_map is not None:
            rough, metal = _sampled(self.surface_map, grid).movedim(1, -1)[mask][:, 1:].unbind(1)
            material = lambda _: SurfaceMaterial(base, metal, rough)  # noqa: E731
        shader = Appearance(lambda _: base, self.light, material).in_views(cameras.position())
        unit = torch.nn.functional.normalize(normals, dim=-1)
        shown = shader(points.positions[mask], unit, mask.nonzero()[:, 0])
        return colour.movedim(1, -1).masked_scatter(mask[..., None], shown).movedim(-1, 1)


def _sampled(
    texture: Float[Tensor, "1 3 h w"], grid: Float[Tensor, "v s s 2"]
) -> Float[Tensor, "v 3 s s"]:
    return grid_sample(texture.expand(len(grid), -1, -1, -1), grid, align_corners=False)


_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""First bytes of the pictures that glTF allows, PNG and JPEG."""
MAX_TEXTURE_PIXELS = 16_384**2
"""A larger texture is refused before it is decoded."""


def read_glb(path: Path) -> TexturedMesh:
    """Read a mesh back: what is judged is the file, not the state that made it.

    Pivot and scale of the file are undone, so that the object stands in the scene's frame. A file
    without our metadata is taken to be in that frame already.

    Raises:
        UnreadableMesh: it is missing, has changed since it was written, or has no texture.
    """
    fault = fault_of(path)
    if fault is not None:
        raise UnreadableMesh(f"The mesh {path} {fault}.\n{_AGAIN}")
    with guarded(
        lambda why: UnreadableMesh(
            f"{path} is not a mesh with a texture, or is damaged: {why}.\n{_AGAIN}"
        )
    ):
        data = path.read_bytes()
        document = read_document(data)
        placement = placement_in(document)
        _check_pictures(document, data)
        loaded = trimesh.load(BytesIO(data), file_type="glb", force="mesh", process=False)
        vertices = np.asarray(loaded.vertices, np.float32)
        faces = np.asarray(loaded.faces, np.int64)
        light = light_in(document) if material_in(document) == "lit" else None
        look = loaded.visual.material
        texture = _tensor(look.baseColorTexture)
        surface_map = None if light is None else look.metallicRoughnessTexture
        uv = np.asarray(loaded.visual.uv, np.float32)
        _check(vertices, faces, uv)
    return TexturedMesh(
        Mesh(torch.from_numpy(z_up(placement.undo(vertices))), torch.from_numpy(faces)),
        torch.from_numpy(uv),
        texture,
        light,
        None if surface_map is None else _tensor(surface_map),
    )


def _tensor(picture: Image.Image) -> Float[Tensor, "1 3 h w"]:
    """Values in [0, 1]."""
    values = np.asarray(picture.convert("RGB"), np.float32)
    return torch.from_numpy(values / 255).permute(2, 0, 1)[None].contiguous()


_AGAIN = "Write it again: repeat the run's `xbind generate` command with --resume."


def _check_pictures(document: Mapping[str, Any], glb: bytes) -> None:
    """Raises ValueError for a picture that trimesh would hand to another decoder, or a huge one.

    trimesh opens a picture with any format that Pillow knows, some of which start programs.
    """
    binary = binary_chunk(glb)
    for picture in document.get("images", ()):
        if "uri" in picture:
            raise ValueError("it has a picture outside of the file")
        view = document["bufferViews"][picture["bufferView"]]
        if view.get("buffer", 0) != 0:
            raise ValueError("it has a picture outside of its first buffer")
        start = view.get("byteOffset", 0)
        data = binary[start : start + view["byteLength"]]
        if not data.startswith(_PICTURES):
            raise ValueError("it has a picture that is neither PNG nor JPEG")
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as header:
            if header.width * header.height > MAX_TEXTURE_PIXELS:
                raise ValueError(f"its texture has {header.width} × {header.height} pixels")


def _check(
    vertices: NDArray[np.float32], faces: NDArray[np.int64], uv: NDArray[np.float32]
) -> None:
    """Raises ValueError for what would be drawn wrongly, or read beyond the end of an array."""
    if vertices.ndim != 2 or faces.ndim != 2 or len(faces) == 0:
        raise ValueError("it has 0 faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError("its faces name vertices that it does not have")
    if uv.shape != (len(vertices), 2):
        raise ValueError("its vertices have no texture coordinates")
    if not (np.isfinite(vertices).all() and np.isfinite(uv).all()):
        raise ValueError("it holds numbers that are not finite")
