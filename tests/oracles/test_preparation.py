"""Our preparation of each modality against the loaders of the `imagebind` package."""

import gzip
import importlib
import json

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from tests.support.odd_texts import odd_texts
from xbind.conditioning.audio import fbank_clips, load_audio
from xbind.conditioning.image import load_image
from xbind.conditioning.text import encode_text
from xbind.conditioning.video import clip_indices, crop_clip
from xbind.models.preprocess import CLIP_STD, fit_image, normalise_image
from xbind.models.tokenizer import BpeTokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def tokenizer(imagebind, tmp_path_factory):
    """The tables of every CLIP repository, written from the package's compressed merges."""
    official = imagebind.data.SimpleTokenizer(bpe_path=imagebind.data.return_bpe_path())
    folder = tmp_path_factory.mktemp("tables")
    (folder / "vocab.json").write_text(json.dumps(official.encoder))
    with gzip.open(imagebind.data.return_bpe_path(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[: 49152 - 256 - 2 + 1]
    (folder / "merges.txt").write_text("\n".join(merges))
    return BpeTokenizer(folder / "vocab.json", folder / "merges.txt", 77)


@pytest.mark.parametrize(
    "text",
    [
        "a red mug",
        "A small saguaro cactus planted in a clay pot!",
        "it's 3 o'clock, isn't it?  (twice)",
        "naïve café — 12345",
        "赤いマグ 🦆",
        "fish &amp; chips &amp;lt;3",
        "tab\tand\nline",
        " ".join(["mug"] * 75),
    ],
)
def test_tokens(imagebind, tokenizer, text):
    want = imagebind.data.load_and_transform_text([text], CPU)[0]
    assert encode_text(text, tokenizer).ids.tolist() == want.tolist()


@pytest.mark.parametrize("package", ["imagebind", "open_clip"])
def test_tokens_of_odd_texts(imagebind, tokenizer, package):
    """Both packages clean alike: ftfy, HTML entities twice, white space, lower case.

    They differ only where a text spells one of their special tokens: `imagebind` reads
    "<|endoftext|>" as its end token, `open_clip` and we as text.
    """
    if package == "imagebind":
        official = imagebind.data.SimpleTokenizer(bpe_path=imagebind.data.return_bpe_path())
    else:
        official = importlib.import_module("open_clip").get_tokenizer("ViT-B-32")
    texts = [text for text in odd_texts() if "<|" not in text]
    assert len(set(texts)) >= 500
    different = [text for text in texts if tokenizer.tokens(text) != official.encode(text)]
    assert different == []


def test_special_tokens_in_a_text_are_text(tokenizer):
    texts = [text for text in odd_texts() if "<|" in text]
    assert texts
    assert max(max(tokenizer.tokens(text)) for text in texts) < 49406


@pytest.mark.parametrize("size", [(224, 224), (300, 224), (500, 333), (120, 90), (225, 640)])
def test_images(imagebind, tmp_path, size):
    # smooth, as pictures are: between two reductions of noise there is more than rounding
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    path = tmp_path / "a.png"
    small.resize(size, Image.Resampling.BICUBIC).save(path)
    want = imagebind.data.load_and_transform_vision_data([path], CPU)
    got = normalise_image(fit_image(load_image(path).rgb[None], 224))
    # Pillow rounds to whole numbers after each axis; bicubic weights sum to at most 1.27
    assert (got - want).abs().max() < (0.5 * 1.27 + 0.51) / 255 / min(CLIP_STD)


@pytest.mark.parametrize("seconds", [2.0, 3.7, 9.0])
def test_sounds(imagebind, tmp_path, seconds):
    rng, rate = np.random.default_rng(0), 16_000
    t = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * (200 + 150 * t) * t) + 0.05 * rng.normal(size=t.shape)
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="FLOAT")
    got = fbank_clips(load_audio(tmp_path / "a.wav").waveform)
    want = official_clips(imagebind.data, torch.from_numpy(wave).float()[None], rate)
    torch.testing.assert_close(got, want, rtol=0, atol=2e-3)


def official_clips(data, waveform, rate):
    """`load_and_transform_audio_data` from the waveform on: its file reader needs FFmpeg."""
    sampler = data.ConstantClipsPerVideoSampler(clip_duration=2, clips_per_video=3)
    clips = []
    for start, end in data.get_clip_timepoints(sampler, waveform.size(1) / rate):
        clip = waveform[:, int(start * rate) : int(end * rate)].clone()
        clips.append((data.waveform2melspec(clip, rate, 128, 204) + 4.268) / 9.138)
    return torch.stack(clips)


@pytest.mark.parametrize(("count", "seconds"), [(120, 12.0), (45, 1.5), (300, 10.01), (7, 2.3)])
def test_frames_of_a_video(imagebind, count, seconds):
    data = imagebind.data
    sampler = data.ConstantClipsPerVideoSampler(clip_duration=2, clips_per_video=5)
    subsample = data.pv_transforms.UniformTemporalSubsample(num_samples=2)
    numbers, rate = torch.arange(count).float().view(1, -1, 1, 1), count / seconds
    want = []
    for start, end in data.get_clip_timepoints(sampler, seconds):
        first, last = int(np.ceil(rate * start)), min(int(np.ceil(rate * end)), count)
        want.append(subsample(numbers[:, first:last]).flatten().int().tolist())
    # a short video is sampled as often as five clips say, with the same clip
    assert clip_indices(count, seconds, 2) == (want * 5)[:5]


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (224, 224), (113, 200)])
def test_crops_of_a_video(imagebind, rng, shape):
    data = imagebind.data
    frames = torch.rand(2, 3, *shape, generator=rng)
    scaled = data.pv_transforms.ShortSideScale(224)(frames.transpose(0, 1).contiguous())
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    want = data.SpatialCrop(224, num_crops=3)([data.NormalizeVideo(mean, std)(scaled)])
    torch.testing.assert_close(crop_clip(frames, 224), torch.stack(want))
