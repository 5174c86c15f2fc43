"""A mesh with its texture, as read back from a GLB and shown as any viewer without lights would."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from xbind.cameras import Cameras
from xbind.errors import XBindError
from xbind.kernels import interpolate
from xbind.mesh.components import component_report
from xbind.mesh.mesh import Mesh
from xbind.mesh.render import render_mask, surface_points


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
    """What a GLB holds, in our frame."""

    mesh: Mesh
    uv: Float[Tensor, "v 2"]
    """In [0, 1], v upwards."""
    texture: Float[Tensor, "1 3 h w"]
    """In [0, 1], row 0 at v = 1."""

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
        texture = self.texture.expand(len(cameras), -1, -1, -1)
        colour = grid_sample(texture, grid, align_corners=False)
        coverage = render_mask(self.mesh, cameras, size)
        return Views(coverage * colour + 1 - coverage, coverage[:, 0] > 0.5)


def read_glb(path: Path) -> TexturedMesh:
    """Read a mesh back: what is judged is the file, not the state that made it.

    Raises:
        UnreadableMesh: it is missing, damaged, or has no texture.
    """
    try:
        loaded = trimesh.load(path, force="mesh", process=False)
        z_up = np.asarray(loaded.vertices, np.float32)[:, [2, 0, 1]]
        picture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB"), np.float32)
        uv = np.asarray(loaded.visual.uv, np.float32)
    except (OSError, ValueError, AttributeError, IndexError, KeyError) as error:
        raise UnreadableMesh(
            f"{path} is not a mesh with a texture ({error!r}).\n"
            f"Make it anew: `xbind generate` with the same --out and --overwrite."
        ) from error
    return TexturedMesh(
        Mesh(
            torch.from_numpy(np.ascontiguousarray(z_up)),
            torch.from_numpy(np.asarray(loaded.faces, np.int64)),
        ),
        torch.from_numpy(uv),
        torch.from_numpy(picture / 255).permute(2, 0, 1)[None].contiguous(),
    )
