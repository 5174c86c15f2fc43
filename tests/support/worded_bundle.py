"""The mini bundle with view words whose adapter is random, and without any."""

import json
import os
import shutil

import torch
from safetensors.torch import load_file, save_file

from xbind.files import sha256_file
from xbind.networks.manifest import SHIPPED, VIEW_WORDS_ROLE, load_manifest

FILE = "unclip/views.safetensors"


def random_words(seed=0):
    """Contexts, and value projections of every cross-attention, that are nothing like zero."""
    unet = load_file(SHIPPED / "mini/unclip/unet/diffusion_pytorch_model.safetensors")
    rng = torch.Generator().manual_seed(seed)
    changes = {
        name: 0.3 * torch.randn(x.shape, generator=rng)
        for name, x in unet.items()
        if name.endswith("attn2.to_v.weight")
    }
    assert len(changes) == 7
    return {"contexts": torch.randn(4, 1, 128, generator=rng), **changes}


def write_bundle(folder, words):
    """A copy of the mini bundle in `folder`, with the tensors `words`; None for no view words."""
    shutil.copytree(SHIPPED / "mini", folder, copy_function=os.symlink)
    raw = json.loads((folder / "bundle.json").read_text())
    raw["parts"].pop(VIEW_WORDS_ROLE, None)
    raw["files"].pop(FILE, None)
    (folder / FILE).unlink(missing_ok=True)
    if words is not None:
        save_file(words, folder / FILE)
        size = (folder / FILE).stat().st_size
        raw["parts"][VIEW_WORDS_ROLE] = FILE
        raw["files"][FILE] = {"sha256": sha256_file(folder / FILE), "bytes": size}
    (folder / "bundle.json").unlink()  # a link to the shipped one
    (folder / "bundle.json").write_text(json.dumps(raw))
    return load_manifest(folder)
