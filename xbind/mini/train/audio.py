"""Audio and depth towers: aligned to the frozen vision tower, as ImageBind aligns them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.conditioning.audio import fbank_clips
from xbind.mini.train.bind import (
    attributes,
    bind_config,
    contrastive_loss,
    load_bind,
    prompt_embeddings,
)
from xbind.mini.train.data import Split, World, draw, images
from xbind.mini.train.latents import load_image_embeddings
from xbind.mini.train.lengths import CPU, LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.mini.world.categories import CATEGORIES
from xbind.mini.world.sounds import synthesise
from xbind.models.bind import BindModel
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.models.preprocess import normalise_image

FBANK = FbankConfig(
    mels=64, frames=192, mean=-3.7, std=3.9, quietest_peak=0.45, loudest_peak=1.0,
    cut_silence=True,
)  # fmt: skip
"""Spectrograms of the mini bundle; mean and deviation of its own sounds, and the peaks that they
have (0.50 to 0.98). Of held-out sounds that are cut to 0.3 s, 42 % are recognised in silence and
90 % repeated."""
DEPTH = DepthConfig(scale="relative", mean=0.0, std=1.0)
"""Disparity of the mini bundle: a share of the picture's own largest."""
CLIPS = 160
"""Sounds per category; the last `HELD_OUT_CLIPS` are never trained on."""
HELD_OUT_CLIPS = 20
"""Sounds per category kept for validation."""


def render_sounds(work: Path, fbank: FbankConfig, seed: int = 0) -> None:
    """Synthesise every category's sounds and keep their spectrograms in `work/sounds.npy`."""
    out = np.zeros((len(CATEGORIES), CLIPS, fbank.mels, fbank.frames), np.float16)
    for k, category in enumerate(CATEGORIES):
        for i in range(CLIPS):
            generator = torch.Generator().manual_seed((seed * 1000 + k) * 10_000 + i)
            waveform = torch.as_tensor(synthesise(category, generator))
            out[k, i] = fbank_clips(waveform, fbank)[0, 0].numpy()
    np.save(work / "sounds.npy", out)


def load_sounds(work: Path) -> Float[Tensor, "k n mels frames"]:
    """Spectrograms of all sounds, as `render_sounds` left them."""
    return torch.from_numpy(np.load(work / "sounds.npy", allow_pickle=False)).float()


def _frozen_core(work: Path) -> BindModel:
    bind = BindModel(bind_config())
    state = averaged(work / "bind.pt")
    state.pop("log_scale", None)
    bind.load_state_dict(state)
    return bind


class _Tower(nn.Module):
    """Only one modality's parameters, under their full names, for the checkpoint."""

    def __init__(self, bind: BindModel, name: str) -> None:
        super().__init__()
        for part in ("preprocessors", "trunks", "heads", "postprocessors"):
            key = f"modality_{part}"
            inner = bind.get_submodule(key).get_submodule(name)
            self.add_module(key, nn.ModuleDict({name: inner}))


def _draw_images(
    split: Split, images_of: np.ndarray, count: int, generator: torch.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], Tensor, Tensor]:
    """((objects, views), labels [b,2], frozen image embeddings [b,d])."""
    o = torch.randint(len(images_of), (count,), generator=generator).numpy()
    v = torch.randint(images_of.shape[1], (count,), generator=generator).numpy()
    return (o, v), torch.from_numpy(split.labels[o]), torch.from_numpy(images_of[o, v]).float()


def _same_category(labels: Tensor) -> Tensor:
    return labels[:, :1] == labels[:, 0][None]


def train_audio(world: World, work: Path, config: LoopConfig) -> None:
    """The audio tower, to `work/bind_audio.pt`: a sound meets any image of its category."""
    bind, sounds, split = _frozen_core(work), load_sounds(work), world.train
    images_of = load_image_embeddings(work)
    trained = sounds.shape[1] - HELD_OUT_CLIPS

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        labels, image = _draw_images(split, images_of, config.batch, generator)[1:]
        clips = sounds[labels[:, 0], torch.randint(trained, (len(labels),), generator=generator)]
        shift = int(torch.randint(-8, 9, (), generator=generator))
        clips = clips.roll(shift, -1) + 0.1 * torch.randn(clips.shape, generator=generator)
        logits = 14.0 * bind.embed("audio", clips[:, None]) @ image.T
        same = _same_category(labels)
        return {"loss": contrastive_loss(logits, same, torch.zeros_like(same))}

    def validate(_model: nn.Module) -> Mapping[str, float]:
        return audio_accuracy(bind, sounds, world.held_out)

    tower = _Tower(bind, "audio")
    train("bind_audio", tower, losses, config, work, validate=validate)


def audio_accuracy(bind: BindModel, sounds: Tensor, split: Split) -> Mapping[str, float]:
    """Held-out sounds → category, by nearest mean image and by nearest mean text (never paired)."""
    drawn = draw(split, 340, torch.Generator().manual_seed(5), normal_share=0.0)
    labels, _ = attributes(split, drawn)
    image = bind.embed("vision", normalise_image(images(split, drawn)))
    centres = torch.stack([image[labels[:, 0] == k].mean(0) for k in range(len(sounds))])
    texts = prompt_embeddings(bind).view(len(sounds), -1, image.shape[-1]).mean(1)
    clips = sounds[:, -HELD_OUT_CLIPS:].flatten(0, 1)[:, None]
    truth = torch.arange(len(sounds)).repeat_interleave(HELD_OUT_CLIPS)
    audio = bind.embed("audio", clips)

    def accuracy(pool: Tensor) -> float:
        pool = nn.functional.normalize(pool, dim=-1)
        return ((audio @ pool.T).argmax(1) == truth).float().mean().item()

    return {"audio_to_image_category": accuracy(centres), "audio_to_text_category": accuracy(texts)}


def depth_input(split: Split, objects: np.ndarray, views: np.ndarray) -> Float[Tensor, "b 1 h w"]:
    """Disparity as `conditioning.depth` gives it: scaled to [0,1] by the object's own maximum."""
    inverse = 1 / torch.from_numpy(split.depth[objects, views].astype(np.float32))[:, None]
    top = inverse.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return inverse / top


def train_depth(world: World, work: Path, config: LoopConfig) -> None:
    """The depth tower, to `work/bind_depth.pt`: a depth map meets the image of the same view."""
    bind, split, images_of = _frozen_core(work), world.train, load_image_embeddings(work)

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        (o, v), labels, image = _draw_images(split, images_of, config.batch, generator)
        depth = depth_input(split, o, v)
        depth = depth + 0.02 * torch.randn(depth.shape, generator=generator)
        logits = 14.0 * bind.embed("depth", depth) @ image.T
        same = _same_category(labels)
        return {"loss": contrastive_loss(logits, same, torch.zeros_like(same))}

    def validate(_model: nn.Module) -> Mapping[str, float]:
        split = world.held_out
        drawn = draw(split, 340, torch.Generator().manual_seed(6), normal_share=0.0)
        labels, _ = attributes(split, drawn)
        depth = bind.embed("depth", depth_input(split, drawn.objects.numpy(), drawn.views.numpy()))
        texts = prompt_embeddings(bind).view(len(CATEGORIES), -1, depth.shape[-1]).mean(1)
        best = (depth @ nn.functional.normalize(texts, dim=-1).T).argmax(1)
        return {"depth_to_text_category": (best == labels[:, 0]).float().mean().item()}

    train("bind_depth", _Tower(bind, "depth"), losses, config, work, validate=validate)


def encode_sounds(work: Path, device: torch.device = CPU) -> None:
    """Aligned embeddings of the sounds that may be trained on → `audio_embeddings.npy`."""
    bind, sounds = load_bind(work).to(device), load_sounds(work).to(device)
    trained = sounds[:, : sounds.shape[1] - HELD_OUT_CLIPS]
    with torch.inference_mode():
        audio = torch.stack([bind.embed("audio", clips[:, None]) for clips in trained])
    np.save(work / "audio_embeddings.npy", audio.half().cpu().numpy())
