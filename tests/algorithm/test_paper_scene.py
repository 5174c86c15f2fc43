"""One iteration of each stage with the scene of `paper`, small, and no networks."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from tests.support.spheres import sphere
from xbind.algorithm import surface_phase
from xbind.algorithm.iteration import advance
from xbind.algorithm.looks import Look
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.supervision import Supervision
from xbind.algorithm.surface_phase import geometry_phase, texture_phase
from xbind.algorithm.texture_init import fit_texture_field
from xbind.algorithm.views import draw_views
from xbind.config.presets import GuidanceConfig, preset_named
from xbind.losses.side_by_side import OneByOne
from xbind.scene.cameras import orbit
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.nerf.field import HashField

PAPER = preset_named("paper")
NONE = replace(GuidanceConfig(), w_2d=0.0, w_3d=0.0, w_ms=0.0, w_rgb=0.0, w_mask=0.0)
FIELD = replace(PAPER.coarse.field, log2_entries=10)
BLIND = cast(Supervision, SimpleNamespace(runner=OneByOne()))


def seeded():
    return torch.Generator().manual_seed(0)


def test_phase_1_optimises_every_weight_of_both_heads():
    config = replace(
        PAPER.coarse, steps=2, size=16, ray_step=0.05, field=FIELD, guidance=NONE, w_opacity=1.0
    )
    phase = CoarsePhase(config, BLIND, HashField(FIELD, generator=seeded()))
    assert phase.optimizer.defaults["lr"] == 0.01
    assert phase.occupancy.config.threshold == 0.01 / PAPER.coarse.ray_step
    before = [p.detach().clone() for p in phase.field.heads[0]]
    terms = advance(phase, 0, seeded())
    assert set(terms) == {"nz", "nv", "opacity"}
    assert all(not torch.equal(a, b) for a, b in zip(before, phase.field.heads[0], strict=True))


def test_phase_2_has_consistent3d_s_regularisers():
    config = replace(PAPER.geometry, steps=2, size=32, resolution=10, guidance=NONE)
    corner = torch.full((3,), 0.7)

    def density(x):
        return 10 + 4 * (0.5 - x.norm(dim=-1))

    def terms(config):
        dmtet = DMTet.from_density(
            density, -corner, corner, 10, threshold=PAPER.coarse.threshold, smoothing=0
        )
        return advance(geometry_phase(config, BLIND, dmtet), 0, seeded())

    ours, theirs = terms(replace(config, nc_normals="face", ls_form="mean-squared")), terms(config)
    assert set(ours) == set(theirs) == {"nc", "ls"}
    assert ours["nc"] != theirs["nc"]
    assert theirs["ls"] > ours["ls"] ** 0.5  # summed over neighbours, not averaged


def test_phase_3_fits_and_optimises_the_colour_head():
    mesh = Mesh(*sphere(2, 0.5))
    coarse = HashField(FIELD, generator=seeded())
    fit = replace(PAPER.texture.fit, points=256, batch=64, steps=2)
    field = fit_texture_field(FIELD, fit, coarse, mesh, seeded())
    config = replace(PAPER.texture, steps=1, size=16, guidance=NONE)
    phase = texture_phase(config, BLIND, mesh, field)
    assert phase.optimizer.defaults["betas"] == (0.9, 0.99)
    phase.render(mesh, orbit(1), Look()).image.sum().backward()
    assert all(weight.grad.any() for weight in field.heads[1])


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_phase_2_sees_close_views_in_their_share_of_the_iterations(monkeypatch, share):
    drawn = []

    def draw(cameras, count, generator):
        drawn.append(cameras)
        return draw_views(cameras, count, generator)

    monkeypatch.setattr(surface_phase, "draw_views", draw)
    config = replace(PAPER.geometry, size=16, guidance=NONE, close_share=share)
    corner = torch.full((3,), 0.7)
    dmtet = DMTet.from_density(
        lambda x: 20 * (1 - x.norm(dim=-1)), -corner, corner, 6, threshold=10.0, smoothing=0
    )
    advance(geometry_phase(config, BLIND, dmtet), 0, seeded())
    assert drawn == [config.cameras if share else config.whole_cameras]
    assert config.cameras.distance == (1.5, 2.0)
