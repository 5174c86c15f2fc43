"""The judge made of an `open_clip` model, against that package's own preparation and scores."""

import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from tests.support.spheres import sphere
from xbind.cli.evaluate import make_panel
from xbind.errors import XBindError
from xbind.evaluation.judges import OPEN_CLIPS, load_open_clip
from xbind.evaluation.runs import judge_run
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import write_glb
from xbind.scene.mesh.mesh import Mesh

POOL = ("a red mug", "a blue car", "a green duck")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small architecture with random weights in a file."""
    folder = tmp_path_factory.mktemp("open_clip")
    config = {
        "embed_dim": 32,
        "vision_cfg": {
            "image_size": 56, "layers": 2, "width": 64, "head_width": 16, "patch_size": 14,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2,
        },
    }  # fmt: skip
    (folder / "xbind-tiny.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "xbind-tiny.json")
    torch.manual_seed(0)
    net = open_clip.create_model("xbind-tiny").eval()
    torch.save(net.state_dict(), folder / "weights.pt")
    return net, folder / "weights.pt"


def test_scores_are_those_of_the_package(tiny, rng):
    net, weights = tiny
    judge = load_open_clip(f"xbind-tiny@{weights}", POOL, allow_download=False)
    image = torch.rand(2, 3, 56, 56, generator=rng)
    look = judge.look(image)
    prepare = open_clip.image_transform(
        56, is_train=False, mean=net.visual.image_mean, std=net.visual.image_std
    )
    bytes_of = (image.permute(0, 2, 3, 1) * 255).round().numpy().astype(np.uint8)
    pixels = torch.stack([prepare(Image.fromarray(picture)) for picture in bytes_of])
    with torch.no_grad():
        seen = net.encode_image(pixels, normalize=True)
        said = net.encode_text(open_clip.get_tokenizer("xbind-tiny")(list(POOL)), normalize=True)
    torch.testing.assert_close(look.features, seen, atol=0.01, rtol=0)  # bytes
    torch.testing.assert_close(look.scores, seen @ said.mT, atol=0.01, rtol=0)
    assert look.accepted is None
    assert judge.look(torch.rand(1, 3, 256, 256, generator=rng)).scores.shape == (1, 3)
    assert judge.name == "xbind-tiny"


def test_a_bundle_without_a_judge_is_judged_by_it(tiny, tmp_path):
    mini = load_manifest("mini")
    parts = {role: path for role, path in mini.raw["parts"].items() if role != "judge"}
    bundle = BundleManifest(mini.folder, mini.raw | {"parts": parts})
    (tmp_path / "pool.json").write_text(json.dumps(POOL))
    panel = make_panel(bundle, tmp_path / "pool.json", [f"xbind-tiny@{tiny[1]}"])
    run = tmp_path / "ball"
    run.mkdir()
    prompt = {"text": POOL[0], "image": None, "audio": None}
    config = {"prompt": prompt, "seed": 0, "preset": "default", "method": {}}
    (run / "config.json").write_text(json.dumps(config))
    unwrapped = unwrap(Mesh(*sphere(2, 0.5)), 64)
    red = bake(unwrapped, lambda x: torch.tensor([1.0, 0, 0]).expand(len(x), 3), 64)
    write_glb(run / "mesh.glb", unwrapped, red)
    figures = judge_run(run, panel)["figures"]
    assert set(figures) == {"clip_r_xbind-tiny", "clip_r_self", "components", "bumps", "faces"}
    assert 0 <= figures["clip_r_xbind-tiny"] <= 1


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ViT-B-32", "would fetch its weights"),
        ("ViT-B-32@nothing.pt", "The file nothing.pt does not exist"),
        ("xbind-huge@{weights}", "cannot load xbind-huge"),
        ("ViT-B-32:openai@{weights}", "cannot load ViT-B-32"),
        ("ViT-B-32@{weights}", "GELU or QuickGELU"),
        ("ViT-B-32:laion5b@{weights}", "knows no weights 'laion5b'"),
    ],
)
def test_what_cannot_be_had_is_refused(tiny, model, message):
    with pytest.raises(XBindError, match=message):
        load_open_clip(model.format(weights=tiny[1]), POOL, allow_download=False)


@pytest.mark.parametrize(
    ("model", "like", "is_same"),
    [
        ("ViT-B-32:openai", "ViT-B-32-quickgelu", True),
        ("ViT-B-32-quickgelu", "ViT-B-32-quickgelu", True),
        ("ViT-B-32:laion2b_s34b_b79k", "ViT-B-32", True),
        ("ViT-B-32:openai", "ViT-B-32", False),
    ],
)
@torch.no_grad()
def test_weights_get_the_activation_that_they_were_trained_with(
    tmp_path, rng, model, like, is_same
):
    """Random weights in a file, in both of the package's architectures of that size."""
    torch.manual_seed(0)
    net = open_clip.create_model("ViT-B-32").eval()
    weights = tmp_path / "weights.pt"
    torch.save(net.state_dict(), weights)
    judge = load_open_clip(f"{model}@{weights}", POOL, allow_download=False)
    other = open_clip.create_model(like, pretrained=str(weights)).eval()
    image = torch.rand(1, 3, 224, 224, generator=rng)
    mean, std = (
        torch.tensor(x).view(3, 1, 1) for x in (net.visual.image_mean, net.visual.image_std)
    )
    want = other.encode_image((image - mean) / std, normalize=True)
    difference = (judge.look(image).features - want).abs().max()
    assert (difference < 1e-5) == is_same


@pytest.mark.parametrize("architecture", OPEN_CLIPS)
def test_openai_weights_of_the_paper_s_judges_need_quick_gelu(architecture):
    """What the choice rests on: the package's own table of weights."""
    assert open_clip.get_pretrained_cfg(architecture, "openai")["quick_gelu"]
    assert "openai" in open_clip.list_pretrained_tags_by_model(f"{architecture}-quickgelu")
