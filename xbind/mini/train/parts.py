"""The parts of the bundle by name, each with its own length, batch and learning rate."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from xbind.mini.train.data import load_world
from xbind.mini.train.loop import LoopConfig

Part = Callable[[Path, int | None, float | None], None]
"""(work folder, samples or the default, decay fraction or the default)."""


def _config(config: LoopConfig, samples: int | None, decay: float | None) -> LoopConfig:
    if samples is not None:
        config = dataclasses.replace(config, samples=samples)
    return config if decay is None else dataclasses.replace(config, decay_fraction=decay)


def _world(work: Path, samples: int | None, _decay: float | None) -> None:
    from xbind.mini.world.dataset import HELD_OUT_SEED, render_split, save_split

    save_split(work / "held_out", render_split(340, seed=HELD_OUT_SEED), HELD_OUT_SEED)
    save_split(work / "train", render_split(samples or 4080, seed=0), 0)


def _vae(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.vae import train_vae

    config = LoopConfig(samples=48_000, batch=12, learning_rate=2e-3, weight_decay=1e-4)
    train_vae(load_world(work), work, _config(config, samples, decay))


def _fold(work: Path, _samples: int | None, _decay: float | None) -> None:
    from xbind.mini.train.vae import fold_normalisation

    fold_normalisation(load_world(work), work)


def _decoder(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.vae import train_decoder

    config = LoopConfig(samples=30_000, batch=8, learning_rate=1e-3, weight_decay=1e-4)
    train_decoder(load_world(work), work, _config(config, samples, decay))


def _bind(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.bind import train_bind
    from xbind.mini.train.captions import build_bank

    config = LoopConfig(
        samples=100_000, batch=96, learning_rate=1.2e-3, weight_decay=0.05, seed=1, ema=0.99
    )
    train_bind(load_world(work), build_bank(), work, _config(config, samples, decay))


def _embeddings(work: Path, _samples: int | None, _decay: float | None) -> None:
    from xbind.mini.train.latents import encode_embeddings

    encode_embeddings(load_world(work), work)


def _latents(work: Path, _samples: int | None, _decay: float | None) -> None:
    from xbind.mini.train.latents import encode_latents

    encode_latents(load_world(work), work)


def _sounds(work: Path, _samples: int | None, _decay: float | None) -> None:
    from xbind.mini.train.audio import FBANK, render_sounds

    render_sounds(work, FBANK)


def _audio(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.audio import encode_sounds, train_audio

    config = LoopConfig(samples=40_000, batch=96, learning_rate=1e-3, weight_decay=0.05, seed=2)
    train_audio(load_world(work), work, _config(config, samples, decay))
    encode_sounds(work)


def _depth(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.audio import train_depth

    config = LoopConfig(samples=40_000, batch=96, learning_rate=1e-3, weight_decay=0.05, seed=3)
    train_depth(load_world(work), work, _config(config, samples, decay))


def _clip(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.captions import build_bank
    from xbind.mini.train.clip import encode_clip, train_clip

    config = LoopConfig(samples=60_000, batch=64, learning_rate=1e-3, weight_decay=0.05, seed=4)
    train_clip(load_world(work), build_bank(), work, _config(config, samples, decay))
    encode_clip(load_world(work), work)


def _unclip(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.priors import train_unclip

    config = LoopConfig(samples=600_000, batch=32, learning_rate=8e-4, ema=0.9985, seed=5)
    train_unclip(load_world(work), work, _config(config, samples, decay))


def _zero123(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.priors import train_zero123

    config = LoopConfig(samples=600_000, batch=32, learning_rate=8e-4, ema=0.9985, seed=6)
    train_zero123(load_world(work), work, _config(config, samples, decay))


def _judge(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.convnet import train_judge

    config = LoopConfig(samples=70_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=7)
    train_judge(load_world(work), work, _config(config, samples, decay))


def _view(work: Path, samples: int | None, decay: float | None) -> None:
    from xbind.mini.train.convnet import train_view

    config = LoopConfig(samples=70_000, batch=64, learning_rate=2e-3, weight_decay=0.02, seed=8)
    train_view(load_world(work), work, _config(config, samples, decay))


def _assemble(work: Path, _samples: int | None, _decay: float | None) -> None:
    from xbind.mini.train.assemble import assemble

    assemble(work)


PARTS: dict[str, Part] = {
    "assemble": _assemble,
    "world": _world,
    "vae": _vae,
    "fold": _fold,
    "latents": _latents,
    "bind": _bind,
    "embeddings": _embeddings,
    "sounds": _sounds,
    "audio": _audio,
    "depth": _depth,
    "clip": _clip,
    "unclip": _unclip,
    "zero123": _zero123,
    "view": _view,
    "judge": _judge,
    "decoder": _decoder,
}
