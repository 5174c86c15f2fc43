"""Algorithm 1 of the paper. The comments give the numbers of its lines."""

from collections.abc import Generator, Iterator, Mapping
from typing import TypedDict

import torch

from xbind.algorithm.estimator_weights import EstimatorWeights, make_estimator
from xbind.algorithm.iteration import Iteration, Phase, PhaseStarted, PhaseState, advance, resume
from xbind.algorithm.looks import Looks
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.supervision import Condition, Supervision
from xbind.algorithm.surface import TexturedMesh
from xbind.algorithm.surface_phase import geometry_phase, texture_phase
from xbind.algorithm.surface_start import first_shape, saved_shape
from xbind.algorithm.texture_init import fit_texture_field
from xbind.config.presets import CoarseConfig, GeometryConfig, MethodConfig, TextureConfig
from xbind.networks.runtime import RunNetworks, StageNetworks
from xbind.scene.materials import MaterialField
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.nerf.field import HashField

Stage = CoarseConfig | GeometryConfig | TextureConfig


class _Parts(TypedDict):
    """What a stage is given beside its scene."""

    looks: Looks
    estimator: EstimatorWeights | None


def algorithm1(
    method: MethodConfig,
    condition: Condition,
    networks: RunNetworks,
    generator: torch.Generator,
    seed: int,
    saved: Mapping[str, PhaseState],
) -> Generator[PhaseStarted | Iteration | TexturedMesh, None, None]:
    """Optimise a NeRF NR_θ, then geometry and texture of a mesh DM_θ; no file is written.

    Args:
        method: iterations N, learning rates η and loss weights of each phase.
        condition: what supervises: C_m, ε* and the reference view.
        networks: the frozen networks of L_planar and L_stereo.
        generator: source of every draw of an iteration. Tensors are on its device.
        seed: of initial weights. Each field has a generator of its own, so a run that is resumed
            need not repeat the draws of an earlier phase.
        saved: phase → where an interrupted run left it; empty for a new run.

    Yields:
        Each phase when it starts, each iteration when it is done, the textured mesh at the end.
    """
    coarse, geometry, texture = method.coarse, method.geometry, method.texture

    def draws(stream: int) -> torch.Generator:
        return torch.Generator(generator.device).manual_seed(seed + stream)

    def of_stage(stage: StageNetworks, config: Stage) -> tuple[Supervision, _Parts]:
        """Supervision, light, background and estimator of a stage."""
        supervision = Supervision(stage.bundle, condition, stage.step, stage.runner)
        light, background = stage.bundle.manifest.light, config.background
        estimator = config.guidance.estimator
        return supervision, {
            "looks": Looks(config.shading, background, light, draws(background.stream)),
            "estimator": make_estimator(
                config.planar, estimator, supervision, draws(estimator.stream)
            ),
        }

    with networks.stage("coarse") as stage:  # 1: Phase I
        nerf = HashField(coarse.field, generator=draws(coarse.stream))
        supervision, parts = of_stage(stage, coarse)
        phase1 = CoarsePhase(coarse, supervision, nerf, **parts)
        yield from _iterate(phase1, generator, saved)  # 2-5: L_planar-S + L_stereo + L_nv

    def new_field() -> HashField:
        return HashField(texture.field, generator=draws(texture.stream))

    def inherited_field(mesh: Mesh) -> HashField:
        return fit_texture_field(texture.field, texture.fit, nerf, mesh, draws(texture.stream))

    with networks.stage("geometry") as stage:  # 6: Phase II
        colours: HashField | None = None
        if "geometry" in saved:
            shape = saved_shape(geometry, saved["geometry"].module, draws(geometry.stream))
            colours = new_field() if geometry.colour else None
        else:  # 7: NR_θ ⇒ DM_θ
            shape = first_shape(geometry, nerf, coarse.threshold, draws(geometry.stream))
            if geometry.colour:
                with torch.no_grad():
                    start = shape.extract("The start of Phase II")
                colours = inherited_field(start) if texture.inherit else new_field()
        supervision, parts = of_stage(stage, geometry)
        phase2 = geometry_phase(geometry, supervision, shape, colours, **parts)
        yield from _iterate(phase2, generator, saved)  # 8-11: L_planar-C + L_stereo + L_nc + L_ls

    with networks.stage("texture") as stage:  # 12: Phase III
        mesh = phase2.result()  # 13: the shape is frozen
        field: HashField | MaterialField
        if texture.material == "pbr":
            draw = draws(texture.stream)
            field = MaterialField(texture.field, texture.pbr, generator=draw)
        elif colours is not None:
            field = colours
        elif "texture" in saved or not texture.inherit:
            field = new_field()
        else:
            field = inherited_field(mesh)
        supervision, parts = of_stage(stage, texture)
        phase3 = texture_phase(texture, supervision, mesh, field, **parts)
        yield from _iterate(phase3, generator, saved)  # 14-17: L_planar-S + L_stereo
        light = stage.bundle.manifest.light if texture.shows_light else None
    yield TexturedMesh(mesh, field, light)


def _iterate(
    phase: Phase, generator: torch.Generator, saved: Mapping[str, PhaseState]
) -> Iterator[PhaseStarted | Iteration]:
    """The iterations of a phase that are still to do."""
    start = resume(phase, saved)
    if start < phase.steps:
        yield PhaseStarted(phase, start)
    for step in range(start, phase.steps):
        terms = advance(phase, step, generator)  # 18-21: render, sum the Loss, step θ
        yield Iteration(phase, step + 1, terms)
