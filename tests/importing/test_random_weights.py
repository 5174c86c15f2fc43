"""The public networks' whole path on the CPU: tiny, random, and said to be so."""

import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from tiny_sources import tiny

from tests.support.run_files import events_of
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.importing.architectures import reduced
from xbind.importing.random_weights import make_random_bundle
from xbind.networks.load import load_bundle
from xbind.networks.manifest import BundleError, verify
from xbind.pipeline import generate
from xbind.run.progress import PlainReporter


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("random") / "sd21-random"
    return make_random_bundle(out, tiny(reduced()), 3, lambda line: None)


def test_it_is_a_whole_bundle_that_says_what_it_is(bundle):
    verify(bundle)
    assert bundle.raw["weights"] == "random"
    loaded = load_bundle(bundle)
    assert loaded.unclip.latent_shape == loaded.zero123.latent_shape == (4, 8, 8)
    with pytest.raises(BundleError, match="holds a bundle already"):
        make_random_bundle(bundle.folder, tiny(reduced()), 3, lambda line: None)


def test_the_seed_decides_the_weights(bundle, tmp_path):
    again = make_random_bundle(tmp_path / "a", tiny(reduced()), 3, lambda line: None)
    other = make_random_bundle(tmp_path / "b", tiny(reduced()), 4, lambda line: None)
    name = "unclip/unet/diffusion_pytorch_model.safetensors"
    assert again.files[name] == bundle.files[name]
    assert other.files[name] != bundle.files[name]


def test_a_run_goes_from_a_picture_to_a_mesh(bundle, tmp_path, capsys):
    y, x = np.mgrid[:96, :96]
    inside = (x - 48) ** 2 + (y - 48) ** 2 < 30**2
    picture = np.where(inside[..., None], (200, 40, 30), 255).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "ball.png")
    config = GenerateConfig(
        prompt=PromptConfig(image=tmp_path / "ball.png"),
        out=tmp_path / "run", bundle=str(bundle.folder), preset="probe", engine="eager",
    )  # fmt: skip
    with PlainReporter(sys.stdout) as reporter:
        generate(config, reporter)
    said = capsys.readouterr().out
    assert "weights of bundle 'sd21-random' are random: what comes out means nothing" in said
    mesh = trimesh.load(tmp_path / "run/mesh.glb", force="mesh")
    assert len(mesh.faces) > 0
    steps = events_of(tmp_path / "run")
    assert len(steps) == 6
    assert all(
        torch.isfinite(torch.tensor(v)) for s in steps for v in s.values() if isinstance(v, float)
    )
