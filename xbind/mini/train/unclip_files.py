"""The 2D prior of a bundle: written from checkpoints, put into another bundle, and read again."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from xbind.errors import XBindError
from xbind.files import atomic_write
from xbind.mini.train.bind import EMBED_DIM
from xbind.mini.train.bundle_files import records, write_json, write_net, write_weights
from xbind.mini.train.data import detail_of_world
from xbind.mini.train.lengths import CPU, samples_seen
from xbind.mini.train.loop import averaged
from xbind.mini.train.priors import VIEW_TOKENS, build_unclip
from xbind.mini.train.resolutions import Resolution, resolution_with
from xbind.mini.train.vae import load_vae
from xbind.mini.train.view_contexts import TRAINED_WORDS, contexts_of
from xbind.mini.train.view_words import adapter_of
from xbind.networks.load import DIFFUSERS_WEIGHTS
from xbind.networks.manifest import VIEW_WORDS_ROLE, BundleManifest, load_manifest, verify

UNCLIP = "unclip"
"""Name of the component and of its checkpoint."""
VIEW_WORDS_FILE = "unclip/views.safetensors"
"""File of the 2D prior's view words."""
VIEW_WORDS_PART = "view_words"
"""Name of their checkpoint, where they are an adapter."""
NEEDED = {
    "unclip.pt": "unclip",
    "vae_folded.pt": "vae",
    "normalizer.pt": "unclip",
}
"""Files that a 2D prior is written from → the part that makes them."""
COUNTED = ("vae", "vae_decoder", "unclip", "view_words")
"""Checkpoints of a 2D prior whose samples `bundle.json` counts."""
VAE_3D = "zero123/vae"
"""Folder of the 3D priors' VAE where the 2D prior has another one."""
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
}
NOISING_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
}


def resolution_of_unclip(state: Mapping[str, Tensor]) -> Resolution:
    """The resolution of the 2D prior that has these weights."""
    return resolution_with(len(state["conv_out.bias"]))


def write_unclip(work: Path, folder: Path) -> None:
    """Write the averaged weights of the 2D prior in `work`, with its VAE and its view words.

    View words that it was trained with from the start are in its own checkpoint; else they are
    those of `view_words.pt`, if that is there, and no words if not.
    """
    state = averaged(work / "unclip.pt")
    unet = build_unclip(resolution_of_unclip(state))
    unet.load_state_dict(state)
    tokens = state.get(VIEW_TOKENS)
    if tokens is not None:
        delattr(unet, VIEW_TOKENS)
    write_net(folder / "unclip/unet", unet)
    write_net(folder / "unclip/vae", load_vae(work))
    write_weights(
        folder / "unclip/image_normalizer" / DIFFUSERS_WEIGHTS, averaged(work / "normalizer.pt")
    )
    write_weights(
        folder / "unclip/empty_prompt.safetensors", {"context": torch.zeros(1, 1, EMBED_DIM)}
    )
    write_json(folder / "unclip/scheduler/scheduler_config.json", SCHEDULER)
    write_json(folder / "unclip/image_noising_scheduler/scheduler_config.json", NOISING_SCHEDULER)
    if tokens is not None:
        write_weights(folder / VIEW_WORDS_FILE, {"contexts": contexts_of(tokens)[1:]})
    elif (work / f"{VIEW_WORDS_PART}.pt").exists():
        write_view_words(work / f"{VIEW_WORDS_PART}.pt", folder / VIEW_WORDS_FILE)
    else:
        (folder / VIEW_WORDS_FILE).unlink(missing_ok=True)


def write_view_words(checkpoint: Path, path: Path) -> None:
    """The averaged contexts and value projections of the 2D prior's view words, in one file."""
    adapter = adapter_of(averaged(checkpoint))
    write_weights(path, {"contexts": adapter.contexts()[1:]} | adapter.changes())


def has_view_words(work: Path) -> bool:
    """True if `write_unclip` writes view words."""
    adapter = work / f"{VIEW_WORDS_PART}.pt"
    return adapter.exists() or VIEW_TOKENS in averaged(work / "unclip.pt")


def assemble_unclip(work: Path, folder: Path) -> None:
    """Put a 2D prior with its VAE and its view words into a bundle that is there.

    The other networks stay as they are. If they share the VAE that is replaced, the 3D priors get a
    copy of it first.

    Args:
        work: folder of the 2D prior's checkpoints.
        folder: of the bundle; its `bundle.json` is updated.

    Raises:
        BundleError: there is no bundle in `folder`, or it is damaged.
        XBindError: the 2D prior is not whole.
    """
    check_trained(work)
    manifest = _with_vae_of_3d(work, folder)
    write_unclip(work, folder)
    raw, size = manifest.raw, resolution_of_unclip(averaged(work / "unclip.pt")).image_size
    parts = {role: path for role, path in raw["parts"].items() if role != VIEW_WORDS_ROLE}
    if has_view_words(work):
        parts[VIEW_WORDS_ROLE] = VIEW_WORDS_FILE
    fresh = {name: r for name, r in records(folder).items() if name.startswith("unclip/")}
    others = {name: r for name, r in manifest.files.items() if not name.startswith("unclip/")}
    changed = {
        "parts": parts,
        "image_size": raw["image_size"] | {UNCLIP: size},
        "training_samples": {
            name: count for name, count in raw["training_samples"].items() if name not in COUNTED
        }
        | counts_of(work, COUNTED),
        "world_detail": raw.get("world_detail", {}) | {UNCLIP: detail_of_world(work)},
        "files": dict(sorted((others | fresh).items())),
    }
    _write_manifest(folder, raw | changed)


def _with_vae_of_3d(work: Path, folder: Path) -> BundleManifest:
    """The manifest of a checked bundle whose 3D priors do not share a VAE that would change.

    The copy of the VAE is in `bundle.json` before anything is replaced, so an interrupted call can
    be made again.
    """
    manifest = load_manifest(folder)
    raw, parts = manifest.raw, manifest.raw["parts"]
    shared = parts["zero123.vae"] == parts["unclip.vae"]
    # an interrupted call may have left files of this component that fit no record
    own = tuple(path for role, path in parts.items() if _is_replaced(role, shared=shared))
    others = {name: r for name, r in manifest.files.items() if not name.startswith(own)}
    rest = {role: path for role, path in parts.items() if not path.startswith(own)}
    verify(replace(manifest, raw=raw | {"files": others, "parts": rest}))
    if not shared or _is_same_vae(work, folder / parts["unclip.vae"]):
        return manifest
    shutil.copytree(folder / parts["unclip.vae"], folder / VAE_3D, dirs_exist_ok=True)
    copied = {name: r for name, r in records(folder).items() if name.startswith(f"{VAE_3D}/")}
    changed = {
        "parts": parts | {"zero123.vae": VAE_3D},
        "files": dict(sorted((raw["files"] | copied).items())),
    }
    _write_manifest(folder, raw | changed)
    return load_manifest(folder)


def _is_replaced(role: str, *, shared: bool) -> bool:
    return role.startswith(f"{UNCLIP}.") and not (shared and role == "unclip.vae")


def _is_same_vae(work: Path, folder: Path) -> bool:
    """True if the VAE of `work` is that of a folder, in half precision."""
    before, after = load_file(folder / DIFFUSERS_WEIGHTS), load_vae(work).state_dict()
    return before.keys() == after.keys() and all(
        torch.equal(value, after[name].half()) for name, value in before.items()
    )


def _write_manifest(folder: Path, raw: Mapping[str, object]) -> None:
    atomic_write(folder / "bundle.json", (json.dumps(raw, indent=2) + "\n").encode())


def counts_of(work: Path, names: Iterable[str]) -> dict[str, int]:
    """Samples that each of these parts was trained on, over all sessions, if it is in `work`."""
    seen = {}
    for name in names:
        if (work / f"{name}.pt").exists():
            state = torch.load(work / f"{name}.pt", map_location=CPU, weights_only=True)
            seen[name] = samples_seen(name, state)
    return seen


def check_trained(work: Path) -> None:
    """Refuse to write a 2D prior that is not whole.

    Raises:
        XBindError: a file is missing.
    """
    for name, part in NEEDED.items():
        if not (work / name).is_file():
            raise XBindError(
                f"There is no {name} in {work}.\n"
                f"Train it first:  python -m xbind.mini.train {part} --work {work}"
            )


def read_unclip(read: Callable[[str], dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """The checkpoints' weights of a bundle's 2D prior; `read` reads a file of the bundle."""
    state = read(f"unclip/unet/{DIFFUSERS_WEIGHTS}")
    if resolution_of_unclip(state).view_words:
        state |= with_words(read(VIEW_WORDS_FILE))
    return {
        "unclip": state,
        "vae_folded": read(f"unclip/vae/{DIFFUSERS_WEIGHTS}"),
        "normalizer": read(f"unclip/image_normalizer/{DIFFUSERS_WEIGHTS}"),
    }


def with_words(file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of a 2D prior that are in a bundle's file of view words."""
    tokens = torch.stack([file["contexts"][word - 1, 0] for word in TRAINED_WORDS])
    values = {name: value for name, value in file.items() if name != "contexts"}
    return values | {VIEW_TOKENS: tokens}
