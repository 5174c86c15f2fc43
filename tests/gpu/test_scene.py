"""The differentiable half on a real device: what the CPU renders, and whole runs."""

import json

import pytest
import torch

from tests.support.watcher import Watcher
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.scene import FieldConfig
from xbind.pipeline import generate
from xbind.scene.cameras import orbit
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.render import render_normals
from xbind.scene.nerf.field import HashField
from xbind.scene.nerf.render import render, surface_normals

CUDA = torch.device("cuda")


def test_a_field_is_seen_alike():
    field = HashField(FieldConfig(), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        field.table.mul_(1000)  # as far from its blob as a trained one
    seen = {}
    for device in ("cpu", "cuda"):
        field = field.to(device)
        field.zero_grad()
        views = render(field, None, orbit(2, device=device), 48, step=0.03, generator=None)
        normals = surface_normals(field, views, spacing=1.7 / 96, least_opacity=0.5).normals
        (views.image.square().mean() + views.z_variance.mean() + normals.square().mean()).backward()
        gradient = torch.cat([p.grad.flatten() for p in field.parameters()])
        seen[device] = [x.detach().cpu() for x in (views.image, views.depth, normals, gradient)]
    for got, want in zip(seen["cuda"], seen["cpu"], strict=True):
        assert torch.linalg.vector_norm(got - want) <= 2e-2 * torch.linalg.vector_norm(want)


def bumpy(x):
    return 40 * (0.55 - x.norm(dim=-1)) + 10 + 3 * (9 * x[:, 0]).sin()


def test_a_surface_is_seen_alike():
    seen = {}
    for device in ("cpu", "cuda"):
        corner = torch.full((3,), 0.7, device=device)
        dmtet = DMTet.from_density(
            lambda x: 40 * (0.55 - x.norm(dim=-1)) + 10 + 3 * (9 * x[:, 0]).sin(),
            -corner,
            corner,
            24,
            threshold=10.0,
            smoothing=3,
        )
        normals, mask = render_normals(dmtet.extract("test"), orbit(2, device=device), 64)
        (normals.square().mean() + mask.mean()).backward()
        gradient = torch.cat([p.grad.flatten() for p in dmtet.parameters()])
        seen[device] = [x.detach().cpu() for x in (normals, mask, gradient)]
    for got, want in zip(seen["cuda"], seen["cpu"], strict=True):
        assert torch.linalg.vector_norm(got - want) <= 1e-2 * torch.linalg.vector_norm(want)


@pytest.mark.parametrize("engine", ["eager", "cuda-graphs"])
def test_a_run_goes_from_prompt_to_files(engine, tmp_path):
    config = GenerateConfig(
        prompt=PromptConfig(text="a red mug"), out=tmp_path / "run", preset="smoke", device="cuda",
        engine=engine,
    )  # fmt: skip
    result = generate(config, Watcher())
    assert {path.name for path in result.outputs} >= {"mesh.glb", "turntable.gif", "report.html"}
    found = json.loads((tmp_path / "run/config.json").read_text())
    assert (found["device"], found["engine"]) == ("cuda", engine)
