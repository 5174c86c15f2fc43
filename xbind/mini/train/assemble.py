"""Write the mini bundle: half-precision safetensors, configurations, hashes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save
from torch import Tensor

from xbind.errors import XBindError
from xbind.files import atomic_write, sha256_file
from xbind.mini.train.audio import DEPTH, FBANK
from xbind.mini.train.bind import EMBED_DIM, bind_config, load_bind
from xbind.mini.train.captions import CONTEXT_LENGTH, build_tokenizer
from xbind.mini.train.clip import load_clip
from xbind.mini.train.convnet import VIEW_WIDTHS, load_view
from xbind.mini.train.judges import BUILD, DILATIONS_2, OUTPUTS, WIDTHS, WIDTHS_2
from xbind.mini.train.lengths import BATCHES, CPU, samples_seen
from xbind.mini.train.loop import averaged, save_atomic
from xbind.mini.train.priors import EMBEDDING_NORM, Zero123Net, build_unet
from xbind.mini.train.vae import load_vae
from xbind.mini.train.view_words import adapter_of, state_from_file
from xbind.mini.world.categories import ADJECTIVES, CATEGORIES, COLOUR_NAMES, SEEN
from xbind.mini.world.world_mesh import world_light
from xbind.networks.load import DIFFUSERS_WEIGHTS
from xbind.networks.manifest import (
    DEFAULT_3D,
    FORMAT,
    JUDGE_ROLES,
    SHIPPED,
    VIEW_WORDS_ROLE,
    load_manifest,
    verify,
)

FileRecord = dict[str, object]
"""Hash and size of a file, as `bundle.json` has them."""
VIEW_WORDS_FILE = "unclip/views.safetensors"
"""File of the 2D prior's view words."""
VIEW_WORDS_PART = "view_words"
"""Name of their checkpoint."""
CAMERA = "clip_camera_projection"
"""Folder of a 3D prior's camera projection, as diffusers calls it."""
PARTS = {
    "bind": "bind",
    "clip": "clip",
    "judge": "judge",
    "view": "view",
    "unclip.unet": "unclip/unet",
    "unclip.vae": "unclip/vae",
    "unclip.normalizer": "unclip/image_normalizer",
    "unclip.scheduler": "unclip/scheduler",
    "unclip.noising_scheduler": "unclip/image_noising_scheduler",
    "unclip.empty_prompt": "unclip/empty_prompt.safetensors",
    "zero123.unet": "zero123/unet",
    "zero123.vae": "unclip/vae",
    "zero123.scheduler": "unclip/scheduler",
    "zero123.image_encoder": "clip",
    "zero123.camera_projection": f"zero123/{CAMERA}",
}
"""Roles of the mini bundle's folders."""
PRIORS_3D = {
    "wide": {"component": "zero123", "categories": list(CATEGORIES)},
    "narrow": {"component": "zero123_narrow", "categories": list(SEEN)},
}
"""The 3D priors of the mini bundle, as `priors_3d` of `bundle.json`; the trainer's parts and their
checkpoints have the components' names."""
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


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Half precision, but for masks with infinities and integers, which stay as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = {
        k: (v.half() if v.is_floating_point() else v).contiguous().clone() for k, v in state.items()
    }
    atomic_write(path, save(half))  # `save_file` makes a file that only its owner can read


def _write_net(folder: Path, net: AutoencoderKL | UNet2DConditionModel) -> None:
    """A network as diffusers keeps it."""
    _write_weights(folder / DIFFUSERS_WEIGHTS, net.state_dict())
    _write_json(folder / "config.json", _plain_config(net))


def write_zero123(checkpoint: Path, folder: Path) -> None:
    """The averaged weights of a 3D prior: its UNet and its camera projection, in two folders."""
    net = Zero123Net()
    net.load_state_dict(averaged(checkpoint))
    _write_net(folder / "unet", net.unet)
    _write_weights(folder / CAMERA / "model.safetensors", net.projection.state_dict())
    shape = {"in_features": net.projection.in_features, "out_features": net.projection.out_features}
    _write_json(folder / CAMERA / "config.json", shape | {"told_pose": True})


def write_judge(checkpoint: Path, folder: Path, name: str) -> None:
    """The averaged weights of a judge, in `folder/<name>`."""
    shapes: dict[str, dict[str, object]] = {
        "judge": {"widths": WIDTHS, "pooled": True},
        "judge_2": {"widths": WIDTHS_2, "dilations": DILATIONS_2},
    }
    net = BUILD[name]()
    net.load_state_dict(averaged(checkpoint))
    _write_weights(folder / name / "model.safetensors", net.state_dict())
    answers = {"outputs": OUTPUTS, "categories": CATEGORIES, "colours": COLOUR_NAMES}
    _write_json(folder / name / "config.json", shapes[name] | answers)


def write_view_words(checkpoint: Path, path: Path) -> None:
    """The averaged contexts and value projections of the 2D prior's view words, in one file."""
    adapter = adapter_of(averaged(checkpoint))
    _write_weights(path, {"contexts": adapter.contexts()[1:]} | adapter.changes())


def _plain_config(net: AutoencoderKL | UNet2DConditionModel) -> dict[str, object]:
    return {
        k: v for k, v in dict(net.config).items() if not k.startswith("_") or k == "_class_name"
    }


def assemble(work: Path, folder: Path = SHIPPED / "mini") -> None:
    """Gather the averaged weights of all parts in `work` into a bundle."""
    _assemble_encoders(work, folder)
    _assemble_priors(work, folder)
    components = [c for c in components_3d() if (work / f"{c}.pt").exists()]
    _write_json(
        folder / "bundle.json",
        {
            "format": FORMAT,
            "name": "mini",
            "licence": {"all": "Apache-2.0"},
            "weights": "trained",
            "about": "Trained from scratch on the procedural world of xbind.mini.",
            "parts": PARTS | _parts_3d(components) | _parts_views(work) | _parts_judge_2(work),
            "priors_3d": _table_3d(components),
            "image_size": {"unclip": 64, "zero123": 64},
            "light": world_light().plain(),
            "training_samples": _samples_seen(work),
            "embedding_norm": dict.fromkeys(
                ("text", "vision", "audio", "depth", "zero123"), EMBEDDING_NORM
            ),
            "files": _without_judges(_records(folder)),
        },
    )


def _without_judges(records: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
    """The same records, with the judges left out of `BundleManifest.digest`."""
    return {
        name: record | {"digest_as": None} if _is_judges(name) else record
        for name, record in records.items()
    }


def _is_judges(file: str) -> bool:
    return file.split("/")[0] in JUDGE_ROLES


def _parts_judge_2(work: Path) -> dict[str, str]:
    return {"judge_2": "judge_2"} if (work / "judge_2.pt").exists() else {}


def _parts_views(work: Path) -> dict[str, str]:
    return {VIEW_WORDS_ROLE: VIEW_WORDS_FILE} if (work / f"{VIEW_WORDS_PART}.pt").exists() else {}


def assemble_only(work: Path, folder: Path, component: str) -> None:
    """Put one component into a bundle that is there, and leave its other ones as they are.

    Args:
        work: folder with the checkpoint `<component>.pt`, whose averaged weights are taken.
        folder: of the bundle; its `bundle.json` is updated.
        component: one of `only_components`: a 3D prior, such as `zero123_narrow`, the view words
            of the 2D prior, or a judge. Judges change no `BundleManifest.digest`.

    Raises:
        BundleError: there is no bundle in `folder`, or it is damaged.
        XBindError: there is no such checkpoint.
    """
    manifest = load_manifest(folder)
    is_views = component == VIEW_WORDS_PART
    raw, own = manifest.raw, VIEW_WORDS_FILE if is_views else f"{component}/"
    others = {name: r for name, r in manifest.files.items() if not name.startswith(own)}
    # an interrupted call may have left files of this component that fit no record
    parts = {role: part for role, part in raw["parts"].items() if not f"{part}/".startswith(own)}
    verify(replace(manifest, raw=raw | {"files": others, "parts": parts}))
    checkpoint = work / f"{component}.pt"
    if not checkpoint.is_file():
        raise XBindError(
            f"There is no {checkpoint.name} in {work}.\n"
            f"Train it first:  python -m xbind.mini.train {component} --work {work}"
        )
    state = torch.load(checkpoint, map_location=CPU, weights_only=True)
    seen = {component: samples_seen(component, state)}
    if is_views:
        write_view_words(checkpoint, folder / VIEW_WORDS_FILE)
        changed: dict[str, object] = {"parts": raw["parts"] | {VIEW_WORDS_ROLE: VIEW_WORDS_FILE}}
    elif component in JUDGE_ROLES:
        write_judge(checkpoint, folder, component)
        changed = {"parts": raw["parts"] | {component: component}}
    else:
        write_zero123(checkpoint, folder / component)
        present = {p.component for p in manifest.priors_3d.values()} | {component}
        ordered = [c for c in components_3d() if c in present]
        parts = raw["parts"] | _parts_3d(ordered)
        changed = {"parts": parts, "priors_3d": _table_3d(ordered)}
    records = {name: r for name, r in _records(folder).items() if name.startswith(own)}
    if component in JUDGE_ROLES:
        records = {
            name: record | {"digest_as": manifest.counted_hash(name)}
            for name, record in records.items()
        }
    changed |= {
        "training_samples": raw["training_samples"] | seen,
        "files": dict(sorted((others | records).items())),
    }
    text = json.dumps(raw | changed, indent=2) + "\n"
    atomic_write(folder / "bundle.json", text.encode())


def only_components() -> tuple[str, ...]:
    """Components that can be assembled alone."""
    return (*components_3d(), VIEW_WORDS_PART, *JUDGE_ROLES)


def components_3d() -> tuple[str, ...]:
    """Components of all 3D priors that the trainer knows, the default first."""
    return tuple(str(entry["component"]) for entry in PRIORS_3D.values())


def _table_3d(components: Sequence[str]) -> dict[str, object]:
    return {name: entry for name, entry in PRIORS_3D.items() if entry["component"] in components}


def _parts_3d(components: Sequence[str]) -> dict[str, str]:
    """Roles of the 3D priors beside the default."""
    folders = {"unet": "unet", "camera_projection": CAMERA}
    return {
        f"{component}.{role}": f"{component}/{name}"
        for component in components
        for role, name in folders.items()
    }


def _records(folder: Path) -> dict[str, FileRecord]:
    """Path inside the bundle → hash and size, of every file."""
    return {
        p.relative_to(folder).as_posix(): {"sha256": sha256_file(p), "bytes": p.stat().st_size}
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "bundle.json"
    }


def _samples_seen(work: Path) -> dict[str, int]:
    """Samples that each part was trained on, over all sessions."""
    seen = {}
    for name in BATCHES:
        if (work / f"{name}.pt").exists():
            state = torch.load(work / f"{name}.pt", map_location=CPU, weights_only=True)
            seen[name] = samples_seen(name, state)
    return seen


def unpack(work: Path, folder: Path = SHIPPED / "mini") -> None:
    """Turn a bundle back into checkpoints, so that training can go on from its weights.

    The optimisers start afresh, the count of samples goes on; the priors still need `world` and
    `encode`.
    """
    seen = json.loads((folder / "bundle.json").read_text())["training_samples"]

    def read(path: str) -> dict[str, Tensor]:
        return {k: v.float() for k, v in load_file(folder / path).items()}

    def prior_3d(component: str) -> dict[str, Tensor]:
        unet = read(f"{component}/unet/{DIFFUSERS_WEIGHTS}")
        camera = read(f"{component}/{CAMERA}/model.safetensors")
        return {f"unet.{k}": v for k, v in unet.items()} | {
            f"projection.{k}": v for k, v in camera.items()
        }

    parts = {
        "bind": read("bind/model.safetensors"),
        "clip": read("clip/model.safetensors"),
        "view": read("view/model.safetensors"),
        "unclip": read(f"unclip/unet/{DIFFUSERS_WEIGHTS}"),
        "vae_folded": read(f"unclip/vae/{DIFFUSERS_WEIGHTS}"),
        "normalizer": read(f"unclip/image_normalizer/{DIFFUSERS_WEIGHTS}"),
    }
    if (folder / VIEW_WORDS_FILE).exists():
        parts[VIEW_WORDS_PART] = state_from_file(read(VIEW_WORDS_FILE))
    parts |= {
        name: read(f"{name}/model.safetensors") for name in JUDGE_ROLES if (folder / name).is_dir()
    }
    parts |= {c: prior_3d(c) for c in components_3d() if (folder / c).is_dir()}
    for name, state in parts.items():
        samples = seen.get(name, 0)
        step = samples // BATCHES.get(name, 1)
        checkpoint = {"model": state, "ema": state, "step": step, "samples": samples}
        save_atomic(checkpoint, work / f"{name}.pt")


def _assemble_encoders(work: Path, folder: Path) -> None:
    bind = load_bind(work)
    _write_weights(folder / "bind/model.safetensors", bind.state_dict())
    _write_json(folder / "bind/config.json", dataclasses.asdict(bind_config()))
    words = {
        "vocabulary": build_tokenizer().vocabulary,
        "length": CONTEXT_LENGTH,
        "groups": _word_groups(),
    }
    _write_json(folder / "bind/tokenizer.json", words)
    _write_json(folder / "bind/fbank.json", dataclasses.asdict(FBANK))
    _write_json(folder / "bind/depth.json", dataclasses.asdict(DEPTH))
    clip = load_clip(work)
    _write_weights(folder / "clip/model.safetensors", clip.state_dict())
    names = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "image_size", "patch_size", "projection_dim",
    )  # fmt: skip
    _write_json(folder / "clip/config.json", {n: getattr(clip.config, n) for n in names})
    view = load_view(work / "view.pt")
    _write_weights(folder / "view/model.safetensors", view.state_dict())
    shape = {"widths": VIEW_WIDTHS, "outputs": view.head.out_features, "pooled": view.pooled}
    _write_json(folder / "view/config.json", shape)
    for name in JUDGE_ROLES:
        if name == "judge" or (work / f"{name}.pt").exists():
            write_judge(work / f"{name}.pt", folder, name)


def _word_groups() -> dict[str, list[str]]:
    """The vocabulary by kind; what names nothing is filler."""
    groups = {
        "colours": list(COLOUR_NAMES),
        "things": list(CATEGORIES),
        "shapes": [word for word in ADJECTIVES if word],
    }
    named = {word for group in groups.values() for word in group}
    return groups | {"filler": [w for w in build_tokenizer().vocabulary if w not in named]}


def _assemble_priors(work: Path, folder: Path) -> None:
    unet = build_unet(4, 2 * EMBED_DIM)
    unet.load_state_dict(averaged(work / "unclip.pt"))
    _write_net(folder / "unclip/vae", load_vae(work))
    _write_net(folder / "unclip/unet", unet)
    for component in components_3d():
        if component == DEFAULT_3D or (work / f"{component}.pt").exists():
            write_zero123(work / f"{component}.pt", folder / component)
    _write_weights(
        folder / "unclip/image_normalizer" / DIFFUSERS_WEIGHTS, averaged(work / "normalizer.pt")
    )
    _write_weights(
        folder / "unclip/empty_prompt.safetensors", {"context": torch.zeros(1, 1, EMBED_DIM)}
    )
    _write_json(folder / "unclip/scheduler/scheduler_config.json", SCHEDULER)
    _write_json(folder / "unclip/image_noising_scheduler/scheduler_config.json", NOISING_SCHEDULER)
