"""Write the mini bundle: half-precision safetensors, configurations, hashes."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from xbind.errors import XBindError
from xbind.files import atomic_write
from xbind.mini.train.audio import DEPTH, FBANK
from xbind.mini.train.bind import bind_config, load_bind
from xbind.mini.train.bundle_files import (
    FileRecord,
    records,
    write_json,
    write_net,
    write_weights,
)
from xbind.mini.train.captions import CONTEXT_LENGTH, build_tokenizer
from xbind.mini.train.clip import load_clip
from xbind.mini.train.convnet import VIEW_WIDTHS, load_view
from xbind.mini.train.data import size_of_world
from xbind.mini.train.judges import BUILD, DILATIONS_2, OUTPUTS, WIDTHS, WIDTHS_2
from xbind.mini.train.lengths import BATCHES, CPU, samples_seen
from xbind.mini.train.loop import averaged, save_atomic
from xbind.mini.train.priors import EMBEDDING_NORM, UNCLIP_START, VIEW_TOKENS, Zero123Net
from xbind.mini.train.resolutions import SMALL
from xbind.mini.train.unclip_files import (
    UNCLIP,
    VIEW_WORDS_FILE,
    VIEW_WORDS_PART,
    assemble_unclip,
    counts_of,
    has_view_words,
    read_unclip,
    resolution_of_unclip,
    with_words,
    write_unclip,
    write_view_words,
)
from xbind.mini.train.vae import START as VAE_START
from xbind.mini.train.view_words import state_from_file
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


def write_zero123(checkpoint: Path, folder: Path) -> None:
    """The averaged weights of a 3D prior: its UNet and its camera projection, in two folders."""
    net = Zero123Net()
    net.load_state_dict(averaged(checkpoint))
    write_net(folder / "unet", net.unet)
    write_weights(folder / CAMERA / "model.safetensors", net.projection.state_dict())
    shape = {"in_features": net.projection.in_features, "out_features": net.projection.out_features}
    write_json(folder / CAMERA / "config.json", shape | {"told_pose": True})


def write_judge(checkpoint: Path, folder: Path, name: str) -> None:
    """The averaged weights of a judge, in `folder/<name>`."""
    shapes: dict[str, dict[str, object]] = {
        "judge": {"widths": WIDTHS, "pooled": True},
        "judge_2": {"widths": WIDTHS_2, "dilations": DILATIONS_2},
    }
    net = BUILD[name]()
    net.load_state_dict(averaged(checkpoint))
    write_weights(folder / name / "model.safetensors", net.state_dict())
    answers = {"outputs": OUTPUTS, "categories": CATEGORIES, "colours": COLOUR_NAMES}
    write_json(folder / name / "config.json", shapes[name] | answers)


def assemble(work: Path, folder: Path = SHIPPED / "mini") -> None:
    """Gather the averaged weights of all parts in `work` into a bundle.

    Raises:
        XBindError: the 2D prior is of another resolution than the other networks.
    """
    resolution = resolution_of_unclip(averaged(work / "unclip.pt"))
    if resolution != SMALL:
        raise XBindError(
            f"The 2D prior in {work} is for pictures of {resolution.image_size} px; a whole bundle "
            f"is assembled at {SMALL.image_size} px.\nCopy a bundle, and put this prior into it: "
            "assemble --only unclip --bundle COPY"
        )
    _assemble_encoders(work, folder)
    write_unclip(work, folder)
    for component in components_3d():
        if component == DEFAULT_3D or (work / f"{component}.pt").exists():
            write_zero123(work / f"{component}.pt", folder / component)
    components = [c for c in components_3d() if (work / f"{c}.pt").exists()]
    write_json(
        folder / "bundle.json",
        {
            "format": FORMAT,
            "name": "mini",
            "licence": {"all": "Apache-2.0"},
            "weights": "trained",
            "about": "Trained from scratch on the procedural world of xbind.mini.",
            "parts": PARTS | _parts_3d(components) | _parts_views(work) | _parts_judge_2(work),
            "priors_3d": _table_3d(components),
            "image_size": {UNCLIP: SMALL.image_size, DEFAULT_3D: SMALL.image_size},
            "light": world_light().plain(),
            "training_samples": counts_of(work, BATCHES),
            "embedding_norm": dict.fromkeys(
                ("text", "vision", "audio", "depth", "zero123"), EMBEDDING_NORM
            ),
            "files": _without_judges(records(folder)),
        },
    )


def _without_judges(found: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
    """The same records, with the judges left out of `BundleManifest.digest`."""
    return {
        name: record | {"digest_as": None} if _is_judges(name) else record
        for name, record in found.items()
    }


def _is_judges(file: str) -> bool:
    return file.split("/")[0] in JUDGE_ROLES


def _parts_judge_2(work: Path) -> dict[str, str]:
    return {"judge_2": "judge_2"} if (work / "judge_2.pt").exists() else {}


def _parts_views(work: Path) -> dict[str, str]:
    return {VIEW_WORDS_ROLE: VIEW_WORDS_FILE} if has_view_words(work) else {}


def assemble_only(work: Path, folder: Path, component: str) -> None:
    """Put one component into a bundle that is there, and leave its other ones as they are.

    Args:
        work: folder with the checkpoint `<component>.pt`, whose averaged weights are taken.
        folder: of the bundle; its `bundle.json` is updated.
        component: one of `only_components`: the 2D prior with its VAE and its view words, a 3D
            prior, such as `zero123_narrow`, the view words alone, or a judge. Judges change no
            `BundleManifest.digest`.

    Raises:
        BundleError: there is no bundle in `folder`, or it is damaged.
        XBindError: there is no such checkpoint.
    """
    if component == UNCLIP:
        assemble_unclip(work, folder)
        return
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
    fresh = {name: r for name, r in records(folder).items() if name.startswith(own)}
    if component in JUDGE_ROLES:
        fresh = {
            name: record | {"digest_as": manifest.counted_hash(name)}
            for name, record in fresh.items()
        }
    changed |= {
        "training_samples": raw["training_samples"] | seen,
        "files": dict(sorted((others | fresh).items())),
    }
    text = json.dumps(raw | changed, indent=2) + "\n"
    atomic_write(folder / "bundle.json", text.encode())


def only_components() -> tuple[str, ...]:
    """Components that can be assembled alone."""
    return (UNCLIP, *components_3d(), VIEW_WORDS_PART, *JUDGE_ROLES)


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


def unpack(work: Path, folder: Path = SHIPPED / "mini") -> None:
    """Turn a bundle back into checkpoints, so that training can go on from its weights.

    The optimisers start afresh, the count of samples goes on; the priors still need `world` and
    `encode`. Priors of another size than that of the world in `work` are left out; without a world,
    those of another size than the 2D prior's are. For a larger world, the 2D prior and its VAE are
    what new ones start from.
    """
    raw = json.loads((folder / "bundle.json").read_text())
    seen, sizes = raw["training_samples"], raw["image_size"]
    size = size_of_world(work) or sizes[UNCLIP]

    def read(path: str) -> dict[str, Tensor]:
        return {k: v.float() for k, v in load_file(folder / path).items()}

    def prior_3d(component: str) -> dict[str, Tensor]:
        unet = read(f"{component}/unet/{DIFFUSERS_WEIGHTS}")
        camera = read(f"{component}/{CAMERA}/model.safetensors")
        return {f"unet.{k}": v for k, v in unet.items()} | {
            f"projection.{k}": v for k, v in camera.items()
        }

    parts = {name: read(f"{name}/model.safetensors") for name in ("bind", "clip", "view")}
    if sizes[UNCLIP] == size:
        parts |= read_unclip(read)
        if VIEW_TOKENS not in parts[UNCLIP] and (folder / VIEW_WORDS_FILE).exists():
            parts[VIEW_WORDS_PART] = state_from_file(read(VIEW_WORDS_FILE))
    elif sizes[UNCLIP] < size:
        parts[VAE_START] = read(f"unclip/vae/{DIFFUSERS_WEIGHTS}")
        parts[UNCLIP_START] = read_unclip(read)[UNCLIP]
        if (folder / VIEW_WORDS_FILE).exists():
            parts[UNCLIP_START] |= with_words(read(VIEW_WORDS_FILE))
    parts |= {
        name: read(f"{name}/model.safetensors") for name in JUDGE_ROLES if (folder / name).is_dir()
    }
    if sizes[DEFAULT_3D] == size:
        parts |= {c: prior_3d(c) for c in components_3d() if (folder / c).is_dir()}
        parts["vae_folded"] = read(f"{raw['parts']['zero123.vae']}/{DIFFUSERS_WEIGHTS}")
    for name, state in parts.items():
        samples = seen.get(name, 0)
        step = samples // BATCHES.get(name, 1)
        checkpoint = {"model": state, "ema": state, "step": step, "samples": samples}
        save_atomic(checkpoint, work / f"{name}.pt")


def _assemble_encoders(work: Path, folder: Path) -> None:
    bind = load_bind(work)
    write_weights(folder / "bind/model.safetensors", bind.state_dict())
    write_json(folder / "bind/config.json", dataclasses.asdict(bind_config()))
    words = {
        "vocabulary": build_tokenizer().vocabulary,
        "length": CONTEXT_LENGTH,
        "groups": _word_groups(),
    }
    write_json(folder / "bind/tokenizer.json", words)
    write_json(folder / "bind/fbank.json", dataclasses.asdict(FBANK))
    write_json(folder / "bind/depth.json", dataclasses.asdict(DEPTH))
    clip = load_clip(work)
    write_weights(folder / "clip/model.safetensors", clip.state_dict())
    names = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "image_size", "patch_size", "projection_dim",
    )  # fmt: skip
    write_json(folder / "clip/config.json", {n: getattr(clip.config, n) for n in names})
    view = load_view(work / "view.pt")
    write_weights(folder / "view/model.safetensors", view.state_dict())
    shape = {"widths": VIEW_WIDTHS, "outputs": view.head.out_features, "pooled": view.pooled}
    write_json(folder / "view/config.json", shape)
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
