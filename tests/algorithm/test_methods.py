"""Stages as other methods combine them: light, starts, colours in the geometry stage, materials."""

import copy
from dataclasses import replace

import pytest
import torch

from tests.support.small_method import CONDITION, METHOD, NONE, Networks
from xbind.algorithm import surface_phase
from xbind.algorithm.algorithm1 import algorithm1
from xbind.algorithm.iteration import Iteration, advance, save_phase
from xbind.algorithm.looks import Looks
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.surface import ShowColours, ShowMaterial, ShowNormals
from xbind.algorithm.views import hybrid_terms
from xbind.config.methods import SYSTEMS
from xbind.config.terms import (
    BackgroundConfig,
    EllipsoidConfig,
    LevelsConfig,
    Ramp,
    RatesConfig,
    ShadingConfig,
)
from xbind.config.variants import method_named
from xbind.scene.light import Light
from xbind.scene.materials import MaterialField
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.network_sdf import NetworkSdf
from xbind.scene.nerf.field import HashField

LIGHT = Light((0.0, 0.0, 1.0), ambient=0.4, wrap=1.0)
SPHERE = EllipsoidConfig(radii=(0.4, 0.4, 0.4))
LEARNED = BackgroundConfig(kind="learned")
JOINT = replace(
    METHOD,
    geometry=replace(
        METHOD.geometry, colour=True, optimizer="adam", colour_rate=0.02, background=LEARNED,
        shading=ShadingConfig(light="magic3d", soft=True, p_lit=1.0),
        guidance=replace(NONE, w_ms=1.0),
    ),
    texture=replace(METHOD.texture, steps=0),
)  # fmt: skip
FROM_A_SPHERE = replace(
    METHOD,
    coarse=replace(METHOD.coarse, steps=0),
    geometry=replace(
        METHOD.geometry, start="ellipsoid", form="network", ellipsoid=SPHERE, optimizer="adam",
        learning_rate=1e-3, rates=RatesConfig(network=1e-4), field=METHOD.coarse.field,
    ),
    texture=replace(METHOD.texture, inherit=False, material="pbr", background=LEARNED),
)  # fmt: skip
METHODS = {"joint": JOINT, "from a sphere": FROM_A_SPHERE}


class LitNetworks(Networks):
    """Networks of a bundle whose light is known."""

    def of_stage(self, name):
        stage = super().of_stage(name)
        stage.bundle.manifest.light = LIGHT
        return stage


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def run(method, saved=None, generator=None, networks=None):
    """Events of a run, and the state after each of its iterations."""
    generator, events, phases, states = generator or seeded(), [], {}, {}
    networks = networks or Networks()
    for event in algorithm1(method, CONDITION, networks, generator, 5, saved or {}):
        events.append(event)
        if isinstance(event, Iteration):
            name, step = event.phase.name, event.step
            phases[name] = copy.deepcopy(save_phase(event.phase, step, generator))
            states[name, step] = dict(phases)
    return events, states


@pytest.mark.parametrize("name", METHODS)
def test_a_run_of_any_method_can_be_resumed(name):
    """After every iteration its state is enough to end with the same mesh and the same colours."""
    events, states = run(METHODS[name])
    *_, whole = events
    for at in states:
        generator = torch.Generator()
        generator.set_state(states[at][at[0]].generator)
        (*_, again), _ = run(METHODS[name], copy.deepcopy(states[at]), generator)
        assert torch.equal(again.mesh.vertices, whole.mesh.vertices), at
        points = whole.mesh.vertices
        assert torch.equal(again.appearance.base_at(points), whole.appearance.base_at(points)), at


def test_colours_and_geometry_are_optimised_together():
    events, states = run(JOINT)
    phase = next(e.phase for e in reversed(events) if isinstance(e, Iteration))
    first, last = states["geometry", 1]["geometry"].module, phase.module.state_dict()
    for part in ("shape.sdf", "field.table", "background.layers.0"):
        assert not torch.equal(first[part], last[part]), part
    assert events[-1].field is phase.module["field"]
    rates = [group["lr"] for group in phase.optimizer.param_groups]
    assert rates == [JOINT.geometry.learning_rate, 0.02]


def test_phase_3_goes_on_with_the_colours_of_the_geometry_stage():
    method = replace(JOINT, texture=replace(JOINT.texture, steps=2))
    events, states = run(method)
    ours = states["geometry", 3]["geometry"].module
    assert any(isinstance(e, Iteration) and e.phase.name == "texture" for e in events)
    table = states["texture", 1]["texture"].module["table"]
    assert (table - ours["field.table"]).abs().max() <= 1.01 * method.texture.learning_rate


def test_a_network_starts_as_its_ellipsoid_without_a_coarse_stage():
    events, _ = run(FROM_A_SPHERE)
    stages = [(e.phase.name, e.step) for e in events if isinstance(e, Iteration)]
    assert [name for name, _ in stages] == ["geometry"] * 3 + ["texture"] * 3
    shape = next(e.phase for e in events if isinstance(e, Iteration)).shape
    assert isinstance(shape, NetworkSdf)
    radii = events[-1].mesh.vertices.norm(dim=1)
    assert abs(float(radii.mean()) - 0.4) < 0.05


def test_a_grid_may_start_as_an_ellipsoid_too():
    geometry = replace(METHOD.geometry, start="ellipsoid", ellipsoid=SPHERE, steps=0)
    events, _ = run(replace(FROM_A_SPHERE, geometry=geometry, texture=METHOD.texture))
    radii = events[-1].mesh.vertices.norm(dim=1)
    assert abs(float(radii.mean()) - 0.4) < 0.01


def test_a_material_is_seen_under_the_light_of_the_bundle_or_its_own():
    (*_, plain), _ = run(FROM_A_SPHERE)
    assert isinstance(plain.field, MaterialField)
    assert plain.light is None
    assert plain.appearance.light.direction == FROM_A_SPHERE.texture.pbr.sky_direction
    (*_, lit), _ = run(FROM_A_SPHERE, networks=LitNetworks())
    assert lit.appearance.light == lit.light == LIGHT


def test_colours_under_the_bundle_s_light_are_seen_under_it():
    lit = replace(METHOD, texture=replace(METHOD.texture, shading=ShadingConfig(light="bundle")))
    (*_, seen), _ = run(lit, networks=LitNetworks())
    assert seen.light == LIGHT
    (*_, unlit), _ = run(METHOD, networks=LitNetworks())
    assert unlit.light is None


def volume_phase(light=None, **changes):
    config = replace(METHOD.coarse, w_nz=0.0, w_nv=0.0, w_opacity=0.0, **changes)
    looks = Looks(config.shading, config.background, light, seeded(9))
    blind = type("S", (), {"runner": type("R", (), {"finished": lambda self: None})()})()
    return CoarsePhase(config, blind, HashField(config.field, generator=seeded(1)), looks)


def test_terms_of_a_volume_follow_their_ramps():
    phase = volume_phase(
        steps=4, w_orient=Ramp(start=1.0, end=3.0), w_sparsity=Ramp(start=0.5, end=0.5),
        w_entropy=Ramp(end=2.0, first=0.5, last=0.5),
    )  # fmt: skip
    terms = advance(phase, 0, seeded())
    assert set(terms) == {"orient", "sparsity", "entropy"}
    assert terms["sparsity"] > 0.1
    assert terms["entropy"] > 0
    weights = [phase.weights(step) for step in (0, 1, 2)]
    assert [w["orient"] for w in weights] == [1.0, 1.5, 2.0]
    assert [w["entropy"] for w in weights] == [0.0, 0.0, 2.0]
    assert {w["sparsity"] for w in weights} == {0.5}


def test_a_term_without_a_weight_costs_nothing():
    assert advance(volume_phase(w_sparsity=Ramp(start=1.0, end=1.0)), 0, seeded()).keys() == {
        "sparsity"
    }


def test_a_lit_volume_is_darker_where_it_faces_away_from_the_light():
    shading = ShadingConfig(light="bundle", p_lit=1.0, p_textureless=0.0)
    lit, plain = volume_phase(LIGHT, shading=shading, size=32), volume_phase(size=32)
    seen, unlit = lit.preview(), plain.preview()
    rows = (unlit - seen).mean((0, 2))
    assert (seen <= unlit + 1e-6).all()
    assert rows[20:26].mean() > 2 * rows[6:12].mean() > 0


def test_a_learned_background_is_optimised_at_its_own_rate():
    phase = volume_phase(
        background=LEARNED, rates=RatesConfig(background=0.5), w_sparsity=Ramp(start=1.0, end=1.0)
    )
    assert [g["lr"] for g in phase.optimizer.param_groups] == [METHOD.coarse.learning_rate, 0.5]
    names = {name.partition(".")[0] for name in phase.module.state_dict()}
    assert names == {"field", "occupancy", "background"}


def test_levels_beyond_the_trained_ones_stay_as_they_are():
    phase = volume_phase(
        steps=4, levels=LevelsConfig(first=2, until=0.5, last=0.9),
        w_sparsity=Ramp(start=1.0, end=1.0),
    )  # fmt: skip
    before = phase.field.table.detach().clone()
    advance(phase, 0, seeded())
    changed = [not torch.equal(a, b) for a, b in zip(before, phase.field.table, strict=True)]
    assert changed == [True, True] + [False] * (len(changed) - 2)
    advance(phase, 3, seeded())  # 0.75: the middle of the rise
    changed = [not torch.equal(a, b) for a, b in zip(before, phase.field.table, strict=True)]
    assert sum(changed) == 2 + int((0.75 - 0.5) / 0.4 * (len(changed) - 2))


@pytest.mark.parametrize(
    ("method", "shown"),
    [(METHOD, [ShowNormals, ShowColours]), (JOINT, [ShowColours]),
     (FROM_A_SPHERE, [ShowNormals, ShowMaterial])],
)  # fmt: skip
def test_what_a_surface_stage_shows(method, shown):
    events, _ = run(method)
    phases = dict.fromkeys(e.phase for e in events if isinstance(e, Iteration))
    found = [type(phase._stage.show) for phase in phases if phase.name != "coarse"]
    assert found == shown
    grids = [phase.shape for phase in phases if phase.name == "geometry"]
    assert isinstance(grids[0], NetworkSdf if method is FROM_A_SPHERE else DMTet)


def small(method):
    """A method in one tiny iteration of each of its stages, without networks."""
    few = {"log2_entries": 8, "resolutions": (4, 8), "hidden": 8}

    def stage(config, **changes):
        red = replace(NONE, w_ms=1.0)
        own = {"steps": min(config.steps, 1), "size": 16, "planar": "sds", "guidance": red}
        return replace(config, **own | changes)

    coarse, geometry, texture = method.coarse, method.geometry, method.texture
    fit = replace(texture.fit, points=256, batch=64, steps=2)
    levels = replace(coarse.levels, first=None)
    return replace(
        method,
        coarse=stage(
            coarse, field=replace(coarse.field, **few), ray_step=0.2, levels=levels,
            threshold=0.5,
        ),
        geometry=stage(
            geometry, resolution=10, field=replace(geometry.field, **few),
            conversion=replace(geometry.conversion, box_resolution=8),
        ),
        texture=stage(texture, field=replace(texture.field, **few), fit=fit),
    )  # fmt: skip


@pytest.mark.parametrize("numbers", ["default", "paper"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_of_table_2_makes_a_mesh(numbers, name):
    """Its scene alone: cameras inside the box, lights, backgrounds, starts, terms."""
    method = small(method_named(f"{numbers}:{name}"))
    (*events, made), _ = run(method, networks=LitNetworks())
    ran = [e.phase.name for e in events if isinstance(e, Iteration)]
    stages = {"coarse": method.coarse, "geometry": method.geometry, "texture": method.texture}
    assert ran == [stage for stage, config in stages.items() if config.steps > 0]
    colours = made.appearance.base_at(made.mesh.vertices)
    assert colours.isfinite().all()
    assert len(made.mesh.faces) > 20
    is_lit = (numbers == "default" and name != "prolificdreamer") or name == "fantasia3d"
    assert made.light == (LIGHT if is_lit else None)


def test_normals_and_mask_stand_for_latents_in_the_first_part_of_the_stage(monkeypatch):
    seen = []

    def watched(*args, **kwargs):
        seen.append((args[2], kwargs["latents"]))
        return hybrid_terms(*args, **kwargs)

    monkeypatch.setattr(surface_phase, "hybrid_terms", watched)
    guidance = replace(NONE, latent_share=0.5)
    geometry = replace(METHOD.geometry, steps=4, guidance=guidance, planar="sds")
    run(replace(METHOD, geometry=geometry, texture=replace(METHOD.texture, steps=0)))
    assert [latents is None for _, latents in seen] == [False, False, True, True]
    image, latents = seen[0]
    assert torch.equal(latents[:, :3], 2 * image - 1)
    inside = latents[:, 3] == 1
    assert inside.any()
    assert (latents[:, :3].norm(dim=1)[inside] - 1).abs().max() < 0.01  # unit normals
    assert (latents[:, :3].movedim(1, -1)[latents[:, 3] == 0] == -1).all()
