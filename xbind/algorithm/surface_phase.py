"""Phases II and III of Algorithm 1 (lines 6-17): a surface under the guidance of its views.

A `SurfaceStage` says what is represented, what is optimised, what views show, and which terms the
Loss has; `SurfacePhase` iterates it. `geometry_phase` and `texture_phase` make the two stages from
their configurations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xbind.algorithm.estimator_weights import EstimatorWeights, estimator_groups, theta_of
from xbind.algorithm.looks import PLAIN, Look, Looks
from xbind.algorithm.optimizers import (
    Group,
    Rates,
    field_groups,
    make_adam,
    make_adan,
    module_group,
)
from xbind.algorithm.supervision import Supervision
from xbind.algorithm.surface import (
    FrozenShape,
    Shape,
    Show,
    ShowColours,
    ShowMaterial,
    ShowNormals,
    SurfaceViews,
)
from xbind.algorithm.terms import Term, constant, values_of, weights_of
from xbind.algorithm.views import (
    draw_views,
    hybrid_terms,
    hybrid_weights,
    reference_terms,
    wants_reference,
)
from xbind.config.presets import CameraRange, GeometryConfig, TextureConfig
from xbind.losses.regularizers import laplacian_loss, normal_consistency_loss
from xbind.scene.cameras import Cameras, orbit
from xbind.scene.materials import MaterialField
from xbind.scene.mesh.components import keep_dominant_component
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.network_sdf import NetworkSdf
from xbind.scene.nerf.field import HashField


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceStage:
    """What one surface stage does."""

    name: str
    """`geometry` or `texture`."""
    label: str
    """Name in messages."""
    config: GeometryConfig | TextureConfig
    """Iterations, size of the views, guidance, decay of the rates."""
    shape: Shape
    """What is represented."""
    show: Show
    """What views show."""
    looks: Looks
    """Their light and background."""
    ranges: Callable[[torch.Generator], CameraRange]
    """Returns the ranges from which the views of an iteration are drawn."""
    regularizers: tuple[Term[Mesh], ...]
    """Terms of the mesh."""
    module: nn.Module
    """Everything that is optimised."""
    optimizer: torch.optim.Optimizer
    """Steps the module's parameters."""
    estimator: EstimatorWeights | None = None
    """Estimator of VSD, where the loss of the 2D prior is `vsd`."""


class SurfacePhase:
    """A surface stage with its iterations."""

    def __init__(self, stage: SurfaceStage, supervision: Supervision) -> None:
        self.name, self.config, self.steps = stage.name, stage.config, stage.config.steps
        self.shape = stage.shape
        self.module, self.optimizer = stage.module, stage.optimizer
        self._stage, self._supervision = stage, supervision
        self._rates = Rates(stage.optimizer, stage.config)
        self._table = stage.shape.table if isinstance(stage.shape, FrozenShape) else None

    def terms(self, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Algorithm 1, lines 9, 10 and 15."""
        config, guidance = self.config, self.config.guidance
        progress = step / self.steps
        self._rates.set(progress)
        mesh = self.shape.extract(f"{self._stage.label}, step {step}")
        cameras = draw_views(self._stage.ranges(generator), config.views, generator)
        look = self._stage.looks.draw(cameras, config.size, progress, generator)
        views = self.render(mesh, cameras, look)
        latents = None
        if progress < guidance.latent_share:  # views of normals: the configuration saw to it
            latents = torch.cat([2 * views.image - 1, views.mask], 1)
        hybrid = hybrid_terms(
            self._supervision, guidance, views.image, cameras, progress, generator,
            planar=config.planar, theta=theta_of(self._stage.estimator), latents=latents,
        )  # fmt: skip
        terms = values_of(self._stage.regularizers, mesh)
        if wants_reference(guidance, step):
            camera = self._supervision.condition.reference.camera
            seen = self.render(mesh, camera, self._stage.looks.still())
            terms |= reference_terms(self._supervision, guidance, seen.image, seen.mask)
            if self._table is not None:
                terms.pop("mask", None)  # the silhouette is frozen
        return hybrid.losses() | terms

    def weights(self, step: int) -> Mapping[str, float]:
        """Eq. 8 to 12, and those of the mesh's regularisers."""
        return hybrid_weights(self.config.guidance) | weights_of(self._stage.regularizers, step)

    def render(self, mesh: Mesh, cameras: Cameras, look: Look) -> SurfaceViews:
        """Views of the surface as the stage shows it."""
        return self._stage.show(mesh, cameras, self.config.size, self._table, look)

    def preview(self) -> Tensor:
        """Four views in a row."""
        with torch.no_grad():
            mesh = self.shape.extract("Preview")
            cameras = orbit(4, device=mesh.vertices.device)
            image = self.render(mesh, cameras, self._stage.looks.still()).image
        return torch.cat(list(image), -1)

    def result(self) -> Mesh:
        """The geometry: of a shape that was optimised the dominant component, detached."""
        with torch.no_grad():
            mesh = self.shape.extract(f"The end of {self._stage.label}")
        if isinstance(self.shape, FrozenShape):
            return mesh
        return keep_dominant_component(Mesh(mesh.vertices.detach(), mesh.faces))


def geometry_phase(
    config: GeometryConfig,
    supervision: Supervision,
    shape: DMTet | NetworkSdf,
    field: HashField | None = None,
    looks: Looks = PLAIN,
    estimator: EstimatorWeights | None = None,
) -> SurfacePhase:
    """Phase II (lines 6-11): refine the geometry on its normal maps, or with its colours.

    Normals are world-space, (n+1)/2 on black, for every network. A share of the iterations uses the
    paper's close cameras, which crop the object: local views are part of the method, and the mini
    priors were trained on such crops. The others see it whole, as in Phase I.

    Args:
        config: of the stage.
        supervision: of its views.
        shape: the first shape; it is optimised in place.
        field: colours that are optimised together with the shape and that views show in place of
            normals; None for normals.
        looks: light and background of views that show colours.
        estimator: of VSD, where the loss of the 2D prior is `vsd`.
    """

    def ranges(generator: torch.Generator) -> CameraRange:
        draw = torch.rand((), generator=generator, device=generator.device)
        return config.cameras if float(draw) < config.close_share else config.whole_cameras

    if isinstance(shape, NetworkSdf):
        groups = field_groups(shape.network, config.rates)
    else:
        groups = [Group(shape.parameters())]
    if field is not None:
        groups += field_groups(field, config.rates, config.colour_rate)
        groups += module_group(looks.learned, config.rates.background)
    groups += estimator_groups(estimator, config.guidance.estimator)
    if config.optimizer == "adan":
        optimizer: torch.optim.Optimizer = make_adan(groups, config.learning_rate, config.adan)
    else:
        optimizer = make_adam(groups, config.learning_rate, config.adam)
    stage = SurfaceStage(
        name="geometry", label="Phase II", config=config, shape=shape,
        show=ShowNormals() if field is None else ShowColours(field), looks=looks, ranges=ranges,
        regularizers=(
            *constant("nc", config.w_nc, lambda m: normal_consistency_loss(m, config.nc_normals)),
            *constant("ls", config.w_ls, lambda m: laplacian_loss(m, config.ls_form)),
        ),
        module=_together(
            shape=shape, field=field, background=None if field is None else looks.learned,
            estimator=estimator,
        ),
        optimizer=optimizer, estimator=estimator,
    )  # fmt: skip
    return SurfacePhase(stage, supervision)


def texture_phase(
    config: TextureConfig,
    supervision: Supervision,
    mesh: Mesh,
    field: HashField | MaterialField,
    looks: Looks = PLAIN,
    estimator: EstimatorWeights | None = None,
) -> SurfacePhase:
    """Phase III (lines 12-17): a field of colours or of a material on the frozen geometry.

    Args:
        config: of the stage.
        supervision: of its views.
        mesh: the geometry.
        field: from `fit_texture_field`, or any other; it is optimised in place.
        looks: light and background of the views; a material is under its sky in all of them.
        estimator: of VSD, where the loss of the 2D prior is `vsd`.
    """
    groups = field_groups(field, config.rates)
    groups += module_group(looks.learned, config.rates.background)
    groups += estimator_groups(estimator, config.guidance.estimator)
    show: Show = ShowColours(field) if isinstance(field, HashField) else ShowMaterial(field, looks)
    stage = SurfaceStage(
        name="texture", label="Phase III", config=config, shape=FrozenShape(mesh),
        show=show, looks=looks, ranges=lambda _: config.cameras, regularizers=(),
        module=_together(field=field, background=looks.learned, estimator=estimator),
        optimizer=make_adam(groups, config.learning_rate, config.adam), estimator=estimator,
    )  # fmt: skip
    return SurfacePhase(stage, supervision)


def _together(**parts: nn.Module | None) -> nn.Module:
    """The parts that there are as one module: by name, or the only one itself."""
    found = {name: part for name, part in parts.items() if part is not None}
    return next(iter(found.values())) if len(found) == 1 else nn.ModuleDict(found)
