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


PARTS: dict[str, Part] = {
    "world": _world,
    "vae": _vae,
    "fold": _fold,
    "decoder": _decoder,
    "bind": _bind,
}
