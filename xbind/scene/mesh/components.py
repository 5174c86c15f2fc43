"""Connected parts of a mesh: what they are, and keeping the one that matters."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from xbind.scene.mesh.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Component:
    """Connected component of a mesh."""

    faces: int
    """Number of triangles."""
    area: float
    """In squared scene units."""
    volume: float
    """Signed, in cubed scene units; negative for the wall of a cavity."""


def component_report(mesh: Mesh) -> tuple[Component, ...]:
    """Describe the connected parts of a mesh, the largest area first."""
    if mesh.is_empty:
        return ()
    area, volume = _face_measures(mesh)
    label = _face_labels(mesh)
    sums = [np.bincount(label, weights) for weights in (None, area, volume)]
    parts = [Component(int(f), float(a), float(v)) for f, a, v in zip(*sums, strict=True)]
    return tuple(sorted(parts, key=lambda part: -part.area))


def keep_dominant_component(mesh: Mesh) -> Mesh:
    """Keep the connected part with the largest area; floaters and cavities go.

    Returns:
        A mesh without unused vertices, in the old order, differentiable in the old vertices.
        An empty mesh is returned as it is.
    """
    if mesh.is_empty:
        return mesh
    label = _face_labels(mesh)
    dominant = np.bincount(label, _face_measures(mesh)[0]).argmax()
    faces = mesh.faces[torch.from_numpy(label == dominant).to(mesh.faces.device)]
    is_used = torch.zeros(len(mesh.vertices), dtype=torch.bool, device=faces.device)
    is_used[faces] = True
    renumbered = is_used.cumsum(0) - 1
    return Mesh(mesh.vertices.index_select(0, is_used.nonzero()[:, 0]), renumbered[faces])


def _face_labels(mesh: Mesh) -> NDArray[np.int64]:
    """The component of each face [f]; faces that share a vertex are connected."""
    faces, count = mesh.faces.cpu().numpy(), len(mesh.vertices)
    start, end = faces[:, :2].ravel(), faces[:, 1:].ravel()
    graph = coo_array((np.ones(len(start), np.bool_), (start, end)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1][faces[:, 0]]
    return np.unique(labels, return_inverse=True)[1]  # isolated vertices leave gaps


def _face_measures(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area [f] of each face, and signed volume [f] of its cone from the origin."""
    a, b, c = mesh.corners().detach().double().cpu().numpy().swapaxes(0, 1)
    return (
        np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2,
        (a * np.cross(b, c)).sum(1) / 6,
    )
