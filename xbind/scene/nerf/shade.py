"""Light on the views of a volume.

It is *deferred*: each ray is lit once, with the normal at its mean depth, where threestudio lights
each sample. That takes densities at six points per ray, instead of six per sample.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.scene.nerf.render import NerfViews, NormalViews
from xbind.scene.shading import Shading


def shade_views(
    views: NerfViews, shading: Shading, normals: Callable[[], NormalViews]
) -> Float[Tensor, "b 3 h w"]:
    """Images of a volume under light, over the background that it was rendered with.

        lit          o · c · L + (1 − o) · background
        textureless  o · L     + (1 − o) · background

    The colour of a ray is that of `views`, o · c = Σ w_i c_i with o = Σ w_i. L = 1 where a ray has
    no normal.

    Args:
        views: of the volume.
        shading: of these views; for `albedo` their own image is returned.
        normals: returns `surface_normals` of the views; called only if there is light.

    Returns:
        Images in [0, 1] for L ≤ 1, differentiable in the parameters of the field, through its
        colours and its normals.
    """
    if shading.light is None:
        return views.image
    seen = normals()
    solid = seen.mask[:, 0]
    factor = shading.light.factor(
        seen.normals.movedim(1, -1)[solid],
        views.surface.view(*solid.shape, 3)[solid],
        solid.nonzero()[:, 0],
    )
    whole = torch.ones_like(views.mask[:, 0]).index_put((solid,), factor)[:, None]
    shown = views.mask if shading.kind == "textureless" else views.colour
    return views.image - views.colour + shown * whole
