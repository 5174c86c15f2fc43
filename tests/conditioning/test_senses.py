"""What a prompt becomes, with the shipped encoder and with one that hears motion and heat."""

import numpy as np
import pytest
import torch
from PIL import Image

from xbind.conditioning.errors import PromptError
from xbind.conditioning.prompt import embed_images, encode_prompt
from xbind.conditioning.video import load_clips
from xbind.config.options import PromptConfig
from xbind.models.bind import BindModel
from xbind.models.bind_config import BindConfig, StemLayer, TrunkConfig
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import AlignedEncoder
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest


@pytest.fixture(scope="module")
def mini():
    return load_bundle(load_manifest("mini")).bind


@pytest.fixture
def sensing(mini):
    """An encoder with all the trunks that need no words or sounds."""
    torch.manual_seed(0)
    stem = (StemLayer(channels=16, kernel=8, stride=8),)
    shared = {"width": 16, "depth": 1, "heads": 2}
    grid = shared | {"input_size": (32, 32), "stem": stem}
    trunks = {
        "vision": TrunkConfig(**grid, channels=3, frames=2),
        "thermal": TrunkConfig(**grid),
        "imu": TrunkConfig(**shared, input_size=(6, 2000), channels=6, window=8),
    }
    config = BindConfig(embed_dim=8, vocab_size=4, context_length=4, trunks=trunks)
    norms = {"vision": 3.0, "thermal": 4.0, "imu": 5.0}
    model = BindModel(config).eval().requires_grad_(False)
    return AlignedEncoder(model, mini.tokenizer, {}, mini.fbank, mini.depth, norms)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)) for _ in range(6)]
    pages[0].save(tmp_path / "v.gif", save_all=True, append_images=pages[1:], duration=500)
    pages[0].save(tmp_path / "t.png")
    np.save(tmp_path / "i.npy", rng.normal(size=(300, 6)))
    return {"video": tmp_path / "v.gif", "thermal": tmp_path / "t.png", "imu": tmp_path / "i.npy"}


@pytest.mark.parametrize(("name", "norm"), [("video", 3.0), ("thermal", 4.0), ("imu", 5.0)])
def test_each_sense_gives_a_unit_vector_and_its_own_length(sensing, files, name, norm):
    got = encode_prompt(PromptConfig(**{name: files[name]}), sensing, 64)
    torch.testing.assert_close(got.c_m.norm(), torch.tensor(1.0))
    torch.testing.assert_close(got.conditioning, norm * got.c_m)
    assert got.image is None


def test_a_video_is_the_direction_of_the_mean_over_its_clips(sensing, files):
    clips = load_clips(files["video"], size=32, frames=2)
    units = sensing.model.embed("vision", clips)
    want = torch.nn.functional.normalize(units.mean(0), dim=0)
    got = encode_prompt(PromptConfig(video=files["video"]), sensing, 64).c_m
    torch.testing.assert_close(got, want)


def test_a_mix_weighs_vectors_and_lengths(sensing, files):
    given = {"thermal": files["thermal"], "imu": files["imu"]}
    mixed = encode_prompt(PromptConfig(**given, imu_weight=3.0), sensing, 64)
    one, other = (encode_prompt(PromptConfig(**{k: v}), sensing, 64).c_m for k, v in given.items())
    want = torch.nn.functional.normalize(0.25 * one + 0.75 * other, dim=0)
    torch.testing.assert_close(mixed.c_m, want)
    torch.testing.assert_close(mixed.conditioning.norm(), torch.tensor(0.25 * 4 + 0.75 * 5))


def test_a_one_frame_encoder_reads_a_video_too(mini, files):
    clips = load_clips(files["video"], size=64, frames=1)
    got = encode_prompt(PromptConfig(video=files["video"]), mini, 64).c_m
    units = mini.model.embed("vision", clips[:, :, 0])
    torch.testing.assert_close(got, torch.nn.functional.normalize(units.mean(0), dim=0))


@pytest.mark.parametrize("name", ["thermal", "imu"])
def test_a_sense_that_the_bundle_lacks_is_refused(mini, files, name):
    with pytest.raises(PromptError) as refusal:
        encode_prompt(PromptConfig(**{name: files[name]}), mini, 64)
    assert str(refusal.value).startswith(
        f"This bundle cannot read --{name}; it reads --text, --image, --audio, --depth, --video."
    )


def test_images_of_the_encoder_s_size_go_in_untouched(mini, rng):
    images = torch.rand(2, 3, 64, 64, generator=rng)
    want = mini.model.embed("vision", normalise_image(images))
    assert torch.equal(embed_images(images, mini), want)
