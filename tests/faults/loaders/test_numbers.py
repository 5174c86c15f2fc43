"""NaN, infinities, denormals and weights at the limits of float64: named, or the right result."""

import math

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from xbind.conditioning import prompt as module
from xbind.conditioning.audio import load_audio
from xbind.conditioning.depth import load_depth
from xbind.conditioning.errors import PromptError
from xbind.conditioning.image import load_image
from xbind.conditioning.imu import load_motion
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.networks.load import load_bind
from xbind.networks.manifest import load_manifest

ODD = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


@pytest.fixture(scope="module")
def encoder():
    return load_bind(load_manifest("mini"))


@pytest.fixture
def bump(tmp_path):
    """A disc nearer than what is around it, in metres."""
    y, x = np.mgrid[:64, :64] - 31.5
    return np.where(x**2 + y**2 < 400, 1.0, 0.0).astype(np.float32) * (1 + 0.001 * abs(x))


@pytest.mark.parametrize("odd", ODD)
def test_pictures_with_values_that_are_not_finite_are_refused(tmp_path, odd):
    values = np.full((24, 24), 0.5, np.float32)
    values[3, 3] = ODD[odd]
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(PromptError, match=r"not finite numbers \(NaN or infinity\)"):
        load_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("odd", ODD)
def test_sounds_with_values_that_are_not_finite_are_refused(tmp_path, odd):
    wave = np.sin(np.arange(8000) / 5).astype(np.float32)
    wave[4000] = ODD[odd]
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype="FLOAT")
    with pytest.raises(PromptError, match="not finite numbers"):
        load_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("peak", [1e-42, 1e-38, 1e30, 2e38])
def test_sounds_at_the_limits_of_float32_are_refused_or_brought_to_level(tmp_path, peak):
    wave = (peak * np.sin(np.arange(8000) / 5)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype="FLOAT")
    if peak < 1 or peak > 1e38:
        with pytest.raises(
            PromptError, match="silent" if peak < 1 else "near the limit of float32"
        ):
            load_audio(tmp_path / "a.wav")
    else:
        assert load_audio(tmp_path / "a.wav").waveform.abs().max() == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("odd", [1e-42, 1e-320, -1e-42, math.nan, math.inf, 1e38, 1e300])
@pytest.mark.parametrize("kind", ["depth", "disparity"])
def test_odd_depths_never_make_an_embedding_that_is_not_finite(tmp_path, bump, encoder, odd, kind):
    bump = bump.astype(np.float64)
    bump[30, 30] = odd
    np.save(tmp_path / "a.npy", bump)
    inverse = load_depth(tmp_path / "a.npy", kind)
    assert torch.isfinite(inverse).all()
    if abs(odd) < 1 or not math.isfinite(odd) or odd > 3.4e38:
        assert inverse[0, 30, 30] == 0  # not measured
    c_m = encode_prompt(PromptConfig(depth=tmp_path / "a.npy", depth_kind=kind), encoder, 64).c_m
    assert c_m.norm() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("odd", "told"),
    [(math.nan, "not finite"), (-math.inf, "not finite"), (1e300, "1e\\+300"), (1e39, "1e\\+39")],
)
@pytest.mark.parametrize("name", ["a.npy", "a.csv"])
def test_motions_that_nothing_makes_are_refused(tmp_path, name, odd, told):
    values = np.random.default_rng(0).normal(size=(20, 6))
    values[3, 3] = odd
    if name == "a.npy":
        np.save(tmp_path / name, values)
    else:
        np.savetxt(tmp_path / name, values, delimiter=",")
    with pytest.raises(PromptError, match=told):
        load_motion(tmp_path / name, 50)


def test_a_long_double_is_refused_without_a_warning(tmp_path):
    np.save(tmp_path / "a.npy", np.full((20, 6), np.longdouble("1e4000")))
    with pytest.raises(PromptError, match="not finite"):
        load_motion(tmp_path / "a.npy", 50)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e308, math.pi])
def test_only_the_ratio_of_weights_matters(tmp_path, bump, encoder, scale):
    np.save(tmp_path / "a.npy", bump)
    given = {"text": "a red mug", "depth": tmp_path / "a.npy"}
    want = encode_prompt(PromptConfig(**given), encoder, 64)
    scaled = PromptConfig(**given, text_weight=scale, depth_weight=scale)
    got = encode_prompt(scaled, encoder, 64)
    torch.testing.assert_close(got.c_m, want.c_m)
    torch.testing.assert_close(got.conditioning, want.conditioning)


def test_shares_are_the_weights_over_their_sum_to_the_last_bit(tmp_path):
    given = {"text": "a mug", "depth": tmp_path, "audio": tmp_path}
    weights = {"text": 0.7, "depth": 0.1, "audio": 12.3}
    prompt = PromptConfig(**given, **{f"{name}_weight": w for name, w in weights.items()})
    total = sum(prompt.weight(m) for m in prompt.given())
    assert module._shares(prompt) == {m: w / total for m, w in weights.items()}


@pytest.mark.parametrize(("text", "image"), [(1.0, 1e-7), (1e308, 1.0), (1e-310, 1.0)])
def test_a_weight_that_changes_nothing_is_refused(tmp_path, text, image):
    flag = "text" if text < image else "image"
    with pytest.raises(ValueError, match=f"--{flag}-weight .* changes nothing beside"):
        PromptConfig(text="a mug", image=tmp_path, text_weight=text, image_weight=image)


@pytest.mark.parametrize(
    ("value", "told"), [(math.nan, "NaN"), (math.inf, "infinite"), (0.0, "zero")]
)
def test_an_embedding_without_a_direction_is_refused(encoder, monkeypatch, value, told):
    monkeypatch.setattr(
        type(encoder), "embed", lambda *_: torch.full((1, encoder.model.config.embed_dim), value)
    )
    with pytest.raises(PromptError, match=rf"--text a red mug cannot be encoded.*{told}"):
        encode_prompt(PromptConfig(text="a red mug"), encoder, 64)


def test_embeddings_that_cancel_each_other_are_refused(tmp_path, bump, encoder, monkeypatch):
    np.save(tmp_path / "a.npy", bump)
    unit = torch.nn.functional.one_hot(torch.tensor([0]), encoder.model.config.embed_dim).float()
    monkeypatch.setattr(
        type(encoder), "embed", lambda _, trunk, x: -unit if trunk == "depth" else unit
    )
    prompt = PromptConfig(text="a red mug", depth=tmp_path / "a.npy")
    with pytest.raises(PromptError, match="--text, --depth cancel each other"):
        encode_prompt(prompt, encoder, 64)
