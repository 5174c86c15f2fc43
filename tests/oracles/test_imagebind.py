"""Our encoder against the `imagebind` package: names, outputs and preparation of each modality."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from xbind.models.bind import BindModel
from xbind.models.bind_config import StemLayer, imagebind_huge

SMALL = {
    "vision_embed_dim": 32, "vision_num_blocks": 2, "vision_num_heads": 4,
    "text_embed_dim": 24, "text_num_blocks": 2, "text_num_heads": 4,
    "audio_embed_dim": 24, "audio_num_blocks": 2, "audio_num_heads": 4,
    "depth_embed_dim": 16, "depth_num_blocks": 2, "depth_num_heads": 2,
    "thermal_embed_dim": 24, "thermal_num_blocks": 2, "thermal_num_heads": 4,
    "imu_embed_dim": 16, "imu_num_blocks": 2, "imu_num_heads": 2, "out_embed_dim": 20,
}  # fmt: skip
"""Arguments of the official model: narrow and shallow, inputs of full size."""


def small_config():
    """ImageBind-huge's configuration with `SMALL`'s widths and depths."""
    huge = imagebind_huge()
    trunks = {}
    for name, trunk in huge.trunks.items():
        width = SMALL[f"{name}_embed_dim"]
        stem = tuple(dataclasses.replace(layer, channels=width) for layer in trunk.stem)
        assert all(isinstance(layer, StemLayer) for layer in stem)
        trunks[name] = dataclasses.replace(
            trunk,
            width=width,
            depth=SMALL[f"{name}_num_blocks"],
            heads=SMALL[f"{name}_num_heads"],
            stem=stem,
        )
    return dataclasses.replace(huge, embed_dim=SMALL["out_embed_dim"], trunks=trunks)


@pytest.fixture(scope="module")
def pair(imagebind):
    """The official model with random weights, none of them zero or one, and ours with the same."""
    official = imagebind.models.imagebind_model.ImageBindModel(**SMALL).eval()
    rng = torch.Generator().manual_seed(0)
    for name, x in official.named_parameters():
        if "log_logit_scale" not in name:
            x.data.copy_(0.2 * torch.randn(x.shape, generator=rng) + (x.data.mean() == 1))
    ours = BindModel(small_config()).eval()
    ours.load_state_dict(official.state_dict())
    return SimpleNamespace(official=official, ours=ours)


def test_huge_has_the_official_names_and_shapes(imagebind):
    with torch.device("meta"):
        ours = BindModel(imagebind_huge()).state_dict()
    # The official constructor convolves real zeros, which a meta device cannot: one block each is
    # built for real, and only the blocks' number is left to the configuration.
    blocks = {f"{name}_num_blocks": 1 for name in imagebind_huge().trunks}
    official = imagebind.models.imagebind_model.ImageBindModel(
        vision_embed_dim=1280, text_embed_dim=1024, out_embed_dim=1024, vision_num_heads=16,
        text_num_heads=16, **blocks,
    ).state_dict()  # fmt: skip
    first = {k: v.shape for k, v in ours.items() if ".blocks." not in k or ".blocks.0." in k}
    assert first == {k: v.shape for k, v in official.items()}
    depths = {
        n: 1
        + max(int(k.split(".")[3]) for k in ours if k.startswith(f"modality_trunks.{n}.blocks"))
        for n in imagebind_huge().trunks
    }
    assert depths == {"vision": 32, "text": 24, "audio": 12, "depth": 12, "thermal": 12, "imu": 6}


INPUTS = {
    "vision": (2, 3, 224, 224),
    "video": (2, 5, 3, 2, 224, 224),
    "audio": (2, 3, 1, 128, 204),
    "depth": (2, 1, 224, 224),
    "thermal": (2, 1, 224, 224),
    "imu": (2, 6, 2000),
}


@pytest.mark.parametrize("name", INPUTS)
@torch.no_grad()
def test_scaled_outputs_are_the_official_ones(pair, rng, name):
    x = torch.randn(INPUTS[name], generator=rng)
    modality = "vision" if name == "video" else name
    want = pair.official({modality: x})[modality]
    if name in ("video", "audio"):
        got = pair.ours.scaled(modality, x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)
    else:
        got = pair.ours.scaled(modality, x)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert (want[0] - want[1]).norm() > 1e-3 * want[0].norm()  # the input matters


@torch.no_grad()
def test_text_output_is_the_official_one(pair):
    ids = torch.zeros(3, 77, dtype=torch.long)
    for row, length in enumerate((3, 10, 77)):
        ids[row, :length] = torch.arange(length) * 17 + 5
        ids[row, length - 1] = 49407
    want = pair.official({"text": ids})["text"]
    torch.testing.assert_close(pair.ours.scaled("text", ids), want, rtol=1e-4, atol=1e-5)
    scale = want.norm(dim=-1)
    torch.testing.assert_close(scale, torch.full((3,), 1 / 0.07), rtol=1e-4, atol=0)


def test_scales_are_the_official_ones(pair):
    def scales(model):
        return {k: v for k, v in model.state_dict().items() if "log_logit_scale" in k}

    fresh = scales(BindModel(small_config()))
    assert set(fresh) == set(scales(pair.official))
    for name, value in scales(pair.official).items():
        torch.testing.assert_close(fresh[name], value)
