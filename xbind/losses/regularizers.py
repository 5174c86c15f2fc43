"""Regularisers: what a shape should look like when no prior says anything about it.

Every function is pure and returns a scalar, a *mean* over the elements that its docstring names.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xbind.config.method import LaplacianForm, NormalKind
from xbind.scene.mesh.mesh import Mesh


def z_variance_loss(
    z_variance: Float[Tensor, " r"], opacity: Float[Tensor, " r"], *, least_opacity: float
) -> Float[Tensor, ""]:
    """Gather each ray's density at one depth: L_nz.

    Eq. 7:  L_nz = mean of σ_z² over the rays with Σ_i w_i > 0.5

    Args:
        z_variance: σ_z² of Eq. 6, in squared scene units.
        opacity: Σ_i w_i of the same rays, in [0, 1]. It only selects.
        least_opacity: a ray counts when its opacity is above this; 0.5 in Eq. 7.

    Returns:
        The mean over the selected rays, exactly 0 when there is none.
        Differentiable in `z_variance`.
    """
    solid = opacity > least_opacity
    return torch.where(solid, z_variance, 0.0).sum() / solid.sum().clamp_min(1)


def normal_vector_loss(
    normals: Float[Tensor, "b 3 h w"], *, taps: int, sigma: float
) -> Float[Tensor, ""]:
    """Make the normals of a rendered surface vary slowly over the image: L_nv of Phase I.

    L_nv = mean ‖N − sg(blur(N))‖² / 3, with a Gaussian blur and mirrored borders (RealFusion).

    Args:
        normals: N, unit normals in [−1, 1], zero where there is no surface; h, w > taps // 2.
        taps: side of the blur's window, in pixels; odd.
        sigma: standard deviation of the blur, in pixels.

    Returns:
        The mean over views, channels and pixels. Differentiable in `normals`, not through the blur.
    """
    return (normals - _blur(normals.detach(), taps, sigma)).square().mean()


def orientation_loss(
    weights: Float[Tensor, " n"],
    normals: Float[Tensor, "n 3"],
    directions: Float[Tensor, "n 3"],
    *,
    rays: int,
) -> Float[Tensor, ""]:
    """Penalise density whose normals face away from the camera (Ref-NeRF; threestudio).

    L_orient = 1/R Σ_i sg(w_i) · max(0, n_i · d_i)²

    Args:
        weights: w_i of each sample, in [0, 1]; constants of this loss.
        normals: n_i, unit normals of the samples.
        directions: d_i, unit directions of their rays, away from the camera.
        rays: R, the number of rays that meet anything.

    Returns:
        The sum over samples per ray, 0 without samples. Differentiable in `normals`.
    """
    behind = (normals * directions).sum(-1).clamp_min(0)
    return (weights.detach() * behind.square()).sum() / max(rays, 1)


def sparsity_loss(opacity: Float[Tensor, " r"], *, offset: float) -> Float[Tensor, ""]:
    """Make rays empty: L_sparse = mean √(o² + offset) (threestudio: offset 0.01).

    Near o = 0 it is quadratic, so haze costs little more than nothing; from o ≈ √offset it is
    linear.

    Args:
        opacity: o of each ray, in [0, 1].
        offset: positive; keeps the gradient finite at 0.
    """
    return (opacity.square() + offset).sqrt().mean()


def entropy_loss(opacity: Float[Tensor, " r"], *, margin: float) -> Float[Tensor, ""]:
    """Make rays opaque or empty: the mean entropy of their opacity, in nats.

    L_opaque = mean −o ln o − (1 − o) ln(1 − o),  o clamped to [margin, 1 − margin]

    Args:
        opacity: o of each ray, in [0, 1].
        margin: beyond it the gradient is 0 (threestudio: 0.001).
    """
    o = opacity.clamp(margin, 1 - margin)
    return -(o * o.log() + (1 - o) * (1 - o).log()).mean()


def normal_consistency_loss(mesh: Mesh, normals: NormalKind = "face") -> Float[Tensor, ""]:
    """Make neighbouring normals agree: L_nc of Phase II. The paper gives no formula.

    L_nc = mean of 1 − cos(n_a, n_b) over edges. With `face`, a and b are the two faces of an edge,
    and edges of another number of faces are left out (nvdiffrec). With `vertex`, a and b are the
    two ends of an edge, with area-weighted vertex normals (threestudio, Consistent3D).

    Returns:
        The mean over edges, in [0, 2], 0 when there is none. Differentiable in the vertices.
    """
    if normals == "vertex":
        of, pairs = mesh.vertex_normals(), mesh.edges()
    else:
        of, pairs = mesh.face_normals(), mesh.edge_faces()
    n_a, n_b = (of.index_select(0, ends) for ends in pairs.unbind(1))
    return (1 - (n_a * n_b).sum(-1)).sum() / max(len(n_a), 1)


def laplacian_loss(mesh: Mesh, form: LaplacianForm = "mean-squared") -> Float[Tensor, ""]:
    """Pull every vertex towards the middle of its neighbours: L_ls of Phase II.

    With the sum s_i = Σ_j (v_j − v_i) over the d_i neighbours j of vertex i (no formula in the
    paper):

        mean-squared  L_ls = mean ‖s_i / d_i‖²
        sum-norm      L_ls = mean ‖s_i‖                    (threestudio, Consistent3D)

    The gradient of `sum-norm` does not vanish as a surface becomes smooth; where s_i = 0 it is 0.

    Returns:
        The mean over vertices, in squared scene units or in scene units, at least float32 whatever
        the vertices are. Differentiable in the vertices.
    """
    vertices = mesh.vertices.to(torch.promote_types(mesh.vertices.dtype, torch.float32))
    start, end = mesh.edges().unbind(1)
    edge = vertices.index_select(0, end) - vertices.index_select(0, start)
    sums = torch.zeros_like(vertices).index_add(0, start, edge).index_add(0, end, -edge)
    count = max(len(vertices), 1)
    if form == "sum-norm":
        return torch.linalg.vector_norm(sums, dim=1).sum() / count
    ends = torch.bincount(torch.cat([start, end]), minlength=len(vertices)).clamp_min(1)
    return (sums / ends[:, None]).square().sum() / count


def _blur(image: Tensor, taps: int, sigma: float) -> Tensor:
    """Gaussian blur, channel by channel, one axis at a time."""
    pad = taps // 2
    offsets = torch.arange(taps, device=image.device, dtype=image.dtype) - pad
    weights = torch.softmax(-0.5 * (offsets / sigma) ** 2, 0)
    channels = image.flatten(0, 1)[:, None]
    padded = functional.pad(channels, (pad, pad, pad, pad), mode="reflect")
    rows = functional.conv2d(padded, weights.view(1, 1, 1, -1))
    return functional.conv2d(rows, weights.view(1, 1, -1, 1)).view_as(image)
