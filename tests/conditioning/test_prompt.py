"""C_m of one modality and of mixes, with the shipped encoder; how a picture is framed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.models.convnet import LOG_ZOOM
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest

PICTURES = Path(__file__).parent.parent / "data/pictures"


@pytest.fixture(scope="module")
def encoder():
    return load_bundle(load_manifest("mini")).bind


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "tone.wav"
    t = np.arange(32_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-2 * t), 16_000)
    return path


def c_m(encoder, **prompt):
    return encode_prompt(PromptConfig(**prompt), encoder, 64).c_m


def test_a_mix_is_the_normalised_weighted_sum(encoder, sound):
    text, audio = c_m(encoder, text="something blue"), c_m(encoder, audio=sound)
    mixed = c_m(encoder, text="something blue", audio=sound, text_weight=3.0, audio_weight=1.0)
    want = 0.75 * text + 0.25 * audio
    torch.testing.assert_close(mixed, want / want.norm())
    assert not torch.allclose(mixed, text, atol=0.01)


def test_only_the_ratio_of_weights_matters(encoder, sound):
    a = c_m(encoder, text="a red mug", audio=sound, text_weight=1.0, audio_weight=2.0)
    b = c_m(encoder, text="a red mug", audio=sound, text_weight=0.5, audio_weight=1.0)
    torch.testing.assert_close(a, b)


def test_the_condition_has_the_mean_length_of_its_modalities(encoder, sound):
    encoder = replace(encoder, norms={**encoder.norms, "text": 4.0, "audio": 8.0})
    prompt = PromptConfig(text="a red mug", audio=sound, text_weight=1.0, audio_weight=3.0)
    encoded = encode_prompt(prompt, encoder, 64)
    assert encoded.c_m.norm().item() == pytest.approx(1.0, abs=1e-5)
    assert encoded.conditioning.norm().item() == pytest.approx(7.0, abs=1e-4)


@pytest.mark.parametrize(("zoom", "share"), [(1.0, 0.75), (0.8, 0.6), (1.2, 0.9), (3.0, 0.95)])
def test_a_picture_is_framed_as_the_estimator_says(encoder, tmp_path, zoom, share):
    pixels = np.zeros((200, 300, 4), np.uint8)
    pixels[60:140, 100:200] = (200, 30, 30, 255)  # 100 wide, 80 high
    Image.fromarray(pixels).save(tmp_path / "box.png")

    def view(image):
        return torch.tensor([[0.0, 0.0, 0.0, LOG_ZOOM * np.log2(zoom)]]).expand(len(image), -1)

    prompt = PromptConfig(image=tmp_path / "box.png")
    mask = encode_prompt(prompt, encoder, 64, view=view).image.mask[0]
    assert mask.sum(1).max().item() / 64 == pytest.approx(share, abs=0.02)
    assert mask.sum(0).max().item() / 64 == pytest.approx(0.8 * share, abs=0.02)


@pytest.mark.parametrize(
    ("elevation", "azimuth", "want"),
    [(90.0, 270.0, (89.9, -90.0)), (-90.0, 540.0, (-89.9, -180.0)), (12.0, None, (12.0, None))],
)
def test_a_given_pose_is_wrapped_and_kept_from_the_poles(encoder, elevation, azimuth, want):
    picture = PICTURES / "frame.png"
    got = encode_prompt(
        PromptConfig(image=picture, elevation=elevation, azimuth=azimuth), encoder, 64
    )
    assert (got.elevation_deg, got.azimuth_deg) == want


def test_a_doubtful_mask_is_a_warning_and_a_given_one_settles_it(encoder, tmp_path):
    picture = PICTURES / "two.png"
    got = encode_prompt(PromptConfig(image=picture), encoder, 64)
    assert any("two objects" in warning for warning in got.warnings)
    mask = np.zeros((256, 512), np.uint8)
    mask[40:220, 256:] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    got = encode_prompt(PromptConfig(image=picture, mask=tmp_path / "m.png"), encoder, 64)
    assert got.warnings == ()
    assert got.foreground.source == "file"
    assert got.image.rgb[2].mean() > got.image.rgb[0].mean()  # the blue one
