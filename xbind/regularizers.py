"""Regularisers: what a shape should look like when no prior says anything about it.

Every function is pure and returns a scalar, a *mean* over the elements that its docstring names.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xbind.mesh.mesh import Mesh

BLUR_TAPS = 9
"""Side of the window in which `normal_vector_loss` blurs, in pixels."""
BLUR_SIGMA = 1.7
"""Its Gaussian's standard deviation in pixels (no value in the paper; usual for nine taps)."""
SOLID = 0.5
"""A ray counts in `z_variance_loss` when its weights sum to more than this (Eq. 7)."""


def z_variance_loss(
    z_variance: Float[Tensor, " r"], opacity: Float[Tensor, " r"]
) -> Float[Tensor, ""]:
    """Gather each ray's density at one depth: L_nz.

    Eq. 7:  L_nz = mean of σ_z² over the rays with Σ_i w_i > 0.5

    Args:
        z_variance: σ_z² of Eq. 6, in squared scene units.
        opacity: Σ_i w_i of the same rays, in [0, 1]. It only selects.

    Returns:
        The mean over the selected rays, exactly 0 when there is none.
        Differentiable in `z_variance`.
    """
    solid = opacity > SOLID
    return torch.where(solid, z_variance, 0.0).sum() / solid.sum().clamp_min(1)


def normal_vector_loss(normals: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
    """Make the normals of a rendered surface vary slowly over the image: L_nv of Phase I.

    L_nv = mean ‖N − sg(blur(N))‖² / 3, with a 9 × 9 Gaussian blur and mirrored borders.

    Args:
        normals: N, unit normals in [−1, 1], zero where there is no surface; h, w ≥ 5.

    Returns:
        The mean over views, channels and pixels. Differentiable in `normals`, not through the blur.
    """
    return (normals - _blur(normals.detach())).square().mean()


def normal_consistency_loss(mesh: Mesh) -> Float[Tensor, ""]:
    """Make neighbouring faces look the same way: L_nc of Phase II.

    L_nc = mean of 1 − cos(n_a, n_b) over the edges that exactly two faces a, b share. The paper
    gives no formula; face normals as in nvdiffrec (threestudio takes vertex normals).

    Returns:
        The mean over edges, in [0, 2], 0 when there is none. Differentiable in the vertices.
    """
    normals = mesh.face_normals()
    n_a, n_b = (normals.index_select(0, faces) for faces in mesh.edge_faces().unbind(1))
    return (1 - (n_a * n_b).sum(-1)).sum() / max(len(n_a), 1)


def laplacian_loss(mesh: Mesh) -> Float[Tensor, ""]:
    """Pull every vertex towards the middle of its neighbours: L_ls of Phase II.

    L_ls = mean ‖(Lv)_i‖² over the vertices, (Lv)_i = mean of v_j − v_i over the neighbours j of i:
    the uniform Laplacian. The paper gives no formula; threestudio takes the norm of the sum over
    neighbours instead, which has no gradient at 0 and grows with the number of neighbours.

    Returns:
        The mean over vertices, in squared scene units, at least float32 whatever the vertices are.
        Differentiable in the vertices.
    """
    vertices = mesh.vertices.to(torch.promote_types(mesh.vertices.dtype, torch.float32))
    start, end = mesh.edges().unbind(1)
    edge = vertices.index_select(0, end) - vertices.index_select(0, start)
    sums = torch.zeros_like(vertices).index_add(0, start, edge).index_add(0, end, -edge)
    ends = torch.bincount(torch.cat([start, end]), minlength=len(vertices)).clamp_min(1)
    return (sums / ends[:, None]).square().sum() / max(len(vertices), 1)


def _blur(image: Tensor) -> Tensor:
    """Gaussian blur, channel by channel, one axis at a time."""
    offsets = torch.arange(BLUR_TAPS, device=image.device, dtype=image.dtype) - BLUR_TAPS // 2
    taps = torch.softmax(-0.5 * (offsets / BLUR_SIGMA) ** 2, 0)
    pad = BLUR_TAPS // 2
    channels = image.flatten(0, 1)[:, None]
    padded = functional.pad(channels, (pad, pad, pad, pad), mode="reflect")
    rows = functional.conv2d(padded, taps.view(1, 1, 1, -1))
    return functional.conv2d(rows, taps.view(1, 1, -1, 1)).view_as(image)
