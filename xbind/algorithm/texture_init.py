"""Start of Phase III: a new colour field, fitted to the surface that Phase I's field shows.

At the surface itself Phase I's colours are accidental: its density is soft there, and what a view
shows comes from a little further in. So the colour of a surface point is what a short ray sees that
meets the point from outside, along its normal.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xbind.config.scene import FieldConfig, TextureFitConfig
from xbind.kernels import composite, march
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.nerf.field import HashField


def sample_surface(
    mesh: Mesh, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Draws points uniformly from a surface, with the unit outward normals of their faces."""
    a, b, c = mesh.corners().unbind(1)
    areas = torch.linalg.cross(b - a, c - a).norm(dim=1)
    face = torch.multinomial(areas, count, replacement=True, generator=generator)
    u, v = torch.rand(2, count, 1, generator=generator, device=generator.device)
    u = u.sqrt()  # uniform in the triangle
    points = (1 - u) * a[face] + u * (1 - v) * b[face] + u * v * c[face]
    return points, mesh.face_normals()[face]


@torch.no_grad()
def seen_colours(
    field: HashField,
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"],
    config: TextureFitConfig,
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, " n"]]:
    """Returns colour and opacity of the field along a ray against the normal.

    Returns:
        Colours Σwc / Σw in [0, 1] (grey where the ray meets nothing), opacities Σw in [0, 1].
    """
    middle = torch.full((len(points),), 0.5, device=points.device)
    samples = march(
        points + config.outside * normals, -normals, None,
        radius=field.config.radius, step=config.ray_step, jitter=middle,
    )  # fmt: skip
    density, colour = field(samples.positions)
    seen = composite(density, colour, samples)
    met = seen.opacity > config.least_opacity
    mean = seen.colour / seen.opacity.clamp_min(config.least_opacity)[:, None]
    return torch.where(met[:, None], mean, 0.5), seen.opacity


def fit_texture_field(
    config: FieldConfig,
    fit: TextureFitConfig,
    coarse: HashField,
    mesh: Mesh,
    generator: torch.Generator,
) -> HashField:
    """A new field whose colours on `mesh` are those that `coarse` shows there.

    Least squares over surface points, weighted by the opacity with which each was seen. The new
    field's density is not used.

    Args:
        config: of the new field; its finest cells should not be smaller than a pixel of the views
            that will supervise it, or each cell keeps the noise of the few steps that saw it.
        fit: how it is fitted.
        coarse: Phase I's field, which is not changed.
        mesh: the surface; not empty.
        generator: draws the field's first weights, the points and the batches.
    """
    field = HashField(config, generator=generator)
    points, normals = sample_surface(mesh, fit.points, generator)
    colours, opacity = seen_colours(coarse, points, normals, fit)
    optimizer = torch.optim.Adam(
        field.parameters(), fit.learning_rate, betas=fit.adam.betas, eps=fit.adam.eps
    )
    for step in range(fit.steps):
        for group in optimizer.param_groups:
            group["lr"] = fit.learning_rate * (1 - (1 - fit.rate_end) * step / fit.steps)
        pick = torch.randint(fit.points, (fit.batch,), generator=generator, device=generator.device)
        error = functional.mse_loss(field(points[pick])[1], colours[pick], reduction="none")
        optimizer.zero_grad(set_to_none=True)
        (opacity[pick, None] * error).mean().backward()
        optimizer.step()
    return field
