"""The parts of the bundle by name: what `python -m xbind.mini.train` can do."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from xbind.mini.train import audio, bind, clip, convnet, latents, priors, vae
from xbind.mini.train.assemble import assemble, unpack
from xbind.mini.train.captions import build_bank
from xbind.mini.train.data import load_near_misses, load_world
from xbind.mini.train.lengths import LENGTHS
from xbind.mini.train.loop import LoopConfig
from xbind.mini.world.dataset import HELD_OUT_SEED, render_split, save_split

Part = Callable[[Path, int | None, float | None], None]
"""(work folder, samples or the default, decay fraction or the default)."""

OBJECTS, HELD_OUT_OBJECTS = 4080, 340
"""Rendered objects for training and for validation, ten views each."""
NEAR_MISSES, HELD_OUT_NEAR_MISSES = 2040, 170
"""Likewise, of objects that are wrong."""


def _config(name: str, samples: int | None, decay: float | None) -> LoopConfig:
    config = LENGTHS[name]
    if samples is not None:
        config = dataclasses.replace(config, samples=samples)
    return config if decay is None else dataclasses.replace(config, decay_fraction=decay)


def _world(work: Path, samples: int | None, _decay: float | None) -> None:
    held_out = render_split(HELD_OUT_OBJECTS, seed=HELD_OUT_SEED)
    save_split(work / "held_out", held_out, HELD_OUT_SEED)
    save_split(work / "train", render_split(samples or OBJECTS, seed=0), 0)


def _near_misses(work: Path, samples: int | None, _decay: float | None) -> None:
    for name, count, seed in (
        ("held_out_near_misses", HELD_OUT_NEAR_MISSES, HELD_OUT_SEED),
        ("near_misses", samples or NEAR_MISSES, 0),
    ):
        save_split(work / name, render_split(count, seed=seed, near_misses=True), seed)


def _vae(work: Path, samples: int | None, decay: float | None) -> None:
    world = load_world(work)
    vae.train_vae(world, work, _config("vae", samples, decay))
    vae.fold_normalisation(world, work)


def _decoder(work: Path, samples: int | None, decay: float | None) -> None:
    vae.train_decoder(load_world(work), work, _config("vae_decoder", samples, decay))


def _bind(work: Path, samples: int | None, decay: float | None) -> None:
    bind.train_bind(load_world(work), build_bank(), work, _config("bind", samples, decay))


def _encode(work: Path, _samples: int | None, _decay: float | None) -> None:
    world = load_world(work)
    latents.encode_latents(world, work)
    latents.encode_embeddings(world, work)
    audio.render_sounds(work, audio.FBANK)
    if (work / "clip.pt").exists():  # after `unpack`: the audio tower and this one are trained
        audio.encode_sounds(work)
        clip.encode_clip(world, work)
        convnet.encode_poses(world, work)


def _audio(work: Path, samples: int | None, decay: float | None) -> None:
    audio.train_audio(load_world(work), work, _config("bind_audio", samples, decay))
    audio.encode_sounds(work)


def _depth(work: Path, samples: int | None, decay: float | None) -> None:
    audio.train_depth(load_world(work), work, _config("bind_depth", samples, decay))


def _clip(work: Path, samples: int | None, decay: float | None) -> None:
    world = load_world(work)
    clip.train_clip(world, build_bank(), work, _config("clip", samples, decay))
    clip.encode_clip(world, work)


def _unclip(work: Path, samples: int | None, decay: float | None) -> None:
    priors.train_unclip(load_world(work), work, _config("unclip", samples, decay))


def _zero123(work: Path, samples: int | None, decay: float | None) -> None:
    priors.train_zero123(load_world(work), work, _config("zero123", samples, decay))


def _judge(work: Path, samples: int | None, decay: float | None) -> None:
    wrong = load_near_misses(work)
    convnet.train_judge(load_world(work), wrong, work, _config("judge", samples, decay))


def _view(work: Path, samples: int | None, decay: float | None) -> None:
    world = load_world(work)
    convnet.train_view(world, work, _config("view", samples, decay))
    convnet.encode_poses(world, work)


PARTS: dict[str, Part] = {
    "world": _world,
    "vae": _vae,
    "bind": _bind,
    "encode": _encode,
    "audio": _audio,
    "depth": _depth,
    "clip": _clip,
    "unclip": _unclip,
    "view": _view,
    "zero123": _zero123,
    "near_misses": _near_misses,
    "judge": _judge,
    "decoder": _decoder,
    "assemble": lambda work, _samples, _decay: assemble(work),
    "unpack": lambda work, _samples, _decay: unpack(work),
}
"""Name → what it does; the order is that of their needs."""
