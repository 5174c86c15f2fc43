"""Files of a bundle: half-precision safetensors, configurations, records of their hashes."""

import json
from collections.abc import Mapping
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save
from torch import Tensor

from xbind.files import atomic_write, sha256_file
from xbind.networks.load import DIFFUSERS_WEIGHTS

FileRecord = dict[str, object]
"""Hash and size of a file, as `bundle.json` has them."""


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """A configuration; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Half precision, but for masks with infinities and integers, which stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {
        k: (v.half() if v.is_floating_point() else v).contiguous().clone() for k, v in state.items()
    }
    atomic_write(path, save(half))  # `save_file` makes a file that only its owner can read


def write_net(folder: Path, net: AutoencoderKL | UNet2DConditionModel) -> None:
    """A network as diffusers keeps it."""
    write_weights(folder / DIFFUSERS_WEIGHTS, net.state_dict())
    write_json(folder / "config.json", _plain_config(net))


def _plain_config(net: AutoencoderKL | UNet2DConditionModel) -> dict[str, object]:
    return {
        k: v for k, v in dict(net.config).items() if not k.startswith("_") or k == "_class_name"
    }


def records(folder: Path) -> dict[str, FileRecord]:
    """Path inside the bundle → hash and size, of every file."""
    return {
        p.relative_to(folder).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size}
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "bundle.json"
    }
