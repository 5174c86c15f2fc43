"""Checkpoints of a 2D prior for pictures of 128 px, with random weights."""

import torch

from xbind.mini.train.loop import save_atomic
from xbind.mini.train.priors import build_unclip
from xbind.mini.train.resolutions import RESOLUTIONS
from xbind.mini.train.vae import build_vae

LARGE = RESOLUTIONS[128]


def write_checkpoints(work, resolution):
    """A 2D prior of random weights with its VAE."""
    torch.manual_seed(resolution.image_size)
    states = {
        "unclip": build_unclip(resolution).state_dict(),
        "vae_folded": build_vae(resolution).state_dict(),
        "normalizer": {"mean": torch.zeros(128), "std": torch.ones(128)},
    }
    work.mkdir(exist_ok=True)
    for name, state in states.items():
        checkpoint = {"model": state, "ema": state, "step": 2, "samples": 96}
        save_atomic(checkpoint, work / f"{name}.pt")
    return states
