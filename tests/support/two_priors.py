"""The shipped bundle with a second 3D prior, made from the first by a change of its weights."""

import json
import shutil

import torch

from xbind.mini.train.assemble import assemble_only, unpack
from xbind.mini.train.loop import save_atomic
from xbind.networks.manifest import SHIPPED

NARROW = "zero123_narrow"


def write_checkpoint(work):
    """`zero123_narrow.pt` in `work`: the wide prior with 5 % noise on each weight."""
    unpack(work)
    state = torch.load(work / "zero123.pt", weights_only=True)
    g = torch.Generator().manual_seed(0)
    ema = {
        name: w * (1 + 0.05 * torch.randn(w.shape, generator=g)) for name, w in state["ema"].items()
    }
    save_atomic(
        {"model": state["model"], "ema": ema, "step": 2, "samples": 96}, work / f"{NARROW}.pt"
    )
    return ema


def copy_shipped(folder):
    """The shipped bundle without a narrow prior, whether or not one is shipped."""
    shutil.copytree(SHIPPED / "mini", folder, ignore=shutil.ignore_patterns(NARROW))
    path = folder / "bundle.json"
    raw = json.loads(path.read_text())
    raw.pop("priors_3d", None)
    for table in ("parts", "files", "training_samples"):
        raw[table] = {k: v for k, v in raw[table].items() if not k.startswith(NARROW)}
    path.write_text(json.dumps(raw))
    return folder


def two_priors(root):
    """The folder of a bundle with the 3D priors `wide` and `narrow`."""
    (root / "work").mkdir()
    write_checkpoint(root / "work")
    folder = copy_shipped(root / "bundle")
    assemble_only(root / "work", folder, NARROW)
    return folder
