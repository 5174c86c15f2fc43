"""Checkpoints of the public networks to a bundle: read, checked, converted, hashed, resumable."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from xbind.files import atomic_write, disk_errors, sha256_file
from xbind.importing.architectures import Architecture, with_sd_base
from xbind.importing.checkpoint import CheckpointError
from xbind.importing.folders import Sources, parts_of
from xbind.importing.sources import LICENCES
from xbind.models.preprocess import normalise_image
from xbind.networks.graphs import shaded_balls
from xbind.networks.load import load_clip
from xbind.networks.manifest import (
    DEFAULT_2D,
    FORMAT,
    VIEW_WORDS_ROLE,
    BundleError,
    BundleManifest,
    load_manifest,
)
from xbind.networks.source_digest import digest_of, modules_reached
from xbind.system.untrusted import guarded, is_file, read_json_object

PARTS = {
    "bind": "bind",
    "clip": "clip",
    "unclip.unet": "unclip/unet",
    "unclip.vae": "unclip/vae",
    "unclip.normalizer": "unclip/image_normalizer",
    "unclip.scheduler": "unclip/scheduler",
    "unclip.noising_scheduler": "unclip/image_noising_scheduler",
    "unclip.empty_prompt": "unclip/empty_prompt.safetensors",
    VIEW_WORDS_ROLE: "unclip/views.safetensors",
    "zero123.unet": "zero123/unet",
    "zero123.vae": "zero123/vae",
    "zero123.scheduler": "zero123/scheduler",
    "zero123.image_encoder": "zero123/image_encoder",
    "zero123.camera_projection": "zero123/clip_camera_projection",
}
"""Roles of the folders that are written."""
SD_BASE = "sd_base"
"""Component, name and folder of Stable Diffusion 2.1-base."""
OPTIONAL = {
    "taesd": "taesd",
    f"{SD_BASE}.unet": f"{SD_BASE}/unet",
    f"{SD_BASE}.vae": f"{SD_BASE}/vae",
    f"{SD_BASE}.scheduler": f"{SD_BASE}/scheduler",
    f"{SD_BASE}.empty_prompt": f"{SD_BASE}/empty_prompt.safetensors",
    f"{SD_BASE}.views": f"{SD_BASE}/views.safetensors",
    f"{SD_BASE}.text_encoder": f"{SD_BASE}/text_encoder",
}
"""Likewise, of those that a bundle may lack."""
PROGRESS = "import.json"
"""File that lists the finished components while a bundle is imported."""


def import_bundle(
    sources: Sources,
    out: Path,
    architecture: Architecture,
    report: Callable[[str], None],
    *,
    origins: Mapping[str, str] | None = None,
) -> BundleManifest:
    """Write a bundle to `out`; parts that an interrupted import has finished are kept.

    Args:
        sources: the checkpoints.
        out: folder of the bundle.
        architecture: shapes of what a single file does not describe.
        report: takes a line per part.
        origins: where each source is from, for `bundle.json`; by default its path.

    Raises:
        CheckpointError: a source cannot be read, or its tensors do not fit; names what differs.
        DiskError, BundleError: the folder cannot be written, or holds a bundle already.
    """
    if (out / "bundle.json").exists():
        raise BundleError(f"{out} holds a bundle already.\nChoose another folder with --out.")
    if sources.sd_base is not None and architecture.sd_base is None:
        architecture = with_sd_base(architecture)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    done = _read_progress(out)
    for name, source, write in parts_of(sources, architecture):
        key = _fingerprint(source, architecture)
        folder = out / name
        if name in done and done[name]["key"] == key and _is_whole(out, done[name]["files"]):
            report(f"{name}: is there")
            continue
        taken = _write(folder, source, write)
        files = record_files(out, folder)
        done[name] = {"key": key, "files": files, "taken": taken}
        atomic_write(out / PROGRESS, json.dumps(done).encode())
        size = sum(record["bytes"] for record in files.values())
        remark = "" if taken is None else f", {taken}"
        report(f"{name}: {size / 2**20:,.0f} MiB from {source}{remark}")
    origins = origins or {
        f.name: str(path)
        for f in dataclasses.fields(Sources)
        if (path := getattr(sources, f.name)) is not None
    }
    facts: dict[str, Any] = {"weights": "imported", "sources": dict(origins)}
    averages = {name: part["taken"] for name, part in done.items() if part.get("taken")}
    return finish(out, architecture, done, facts | ({"taken": averages} if averages else {}))


def finish(
    out: Path, architecture: Architecture, done: Mapping[str, Any], facts: Mapping[str, Any]
) -> BundleManifest:
    """Check that the parts fit one another, measure what is not in any file, write the manifest."""
    return write_manifest(out, architecture, done, facts, _clip_norm(out / "clip", architecture))


def write_manifest(
    out: Path,
    architecture: Architecture,
    done: Mapping[str, Any],
    facts: Mapping[str, Any],
    norm: float,
) -> BundleManifest:
    """Write `bundle.json`; `norm` is the length of embeddings that condition the 2D prior."""
    optional = {role: name for role, name in OPTIONAL.items() if (out / name).exists()}
    left_out = {role.partition(".")[0] for role in OPTIONAL.keys() - optional.keys()}
    sizes = {prior: px for prior, px in architecture.image_size.items() if prior not in left_out}
    both = {name: {"component": name} for name in (DEFAULT_2D, SD_BASE)}
    raw = {
        "format": FORMAT,
        "name": out.resolve().name,
        "licence": {part: said for part, said in LICENCES.items() if part not in left_out},
        **facts,
        "parts": PARTS | optional,
        **({} if SD_BASE in left_out else {"priors_2d": both}),
        "image_size": sizes,
        "embedding_norm": dict.fromkeys(architecture.bind.trunks, norm),
        "files": {name: record for part in done.values() for name, record in part["files"].items()},
    }
    atomic_write(out / "bundle.json", (json.dumps(raw, indent=2) + "\n").encode())
    (out / PROGRESS).unlink(missing_ok=True)
    return load_manifest(out)


def _clip_norm(folder: Path, architecture: Architecture) -> float:
    """Mean length of the raw image embeddings that the 2D prior was trained on, measured.

    Of the bundle's own CLIP on shaded balls. ImageBind's directions, of whatever modality, are
    brought to this length before they condition the prior.
    """
    clip, size = load_clip(folder), architecture.clip["image_size"]
    pixels = normalise_image(shaded_balls(4, size, torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        norms = clip(pixel_values=pixels).image_embeds.norm(dim=-1)
    return round(float(norms.mean()), 4)


def _write(folder: Path, source: Path, write: Callable[[Path], str | None]) -> str | None:
    """Writes one folder; whatever the libraries raise for the source's content becomes words."""

    def refuse(why: str) -> CheckpointError:
        return CheckpointError(
            f"{source} cannot be converted to {folder.name}: {why}.\n"
            f"Get the checkpoint that `xbind bundle import --help` names."
        )

    with guarded(refuse):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return write(folder)
        except (OSError, SafetensorError) as error:  # safetensors has no class of its own for it
            raise BundleError(
                f"Cannot write {folder} ({error}).\nFree some space, or choose another folder with "
                f"--out. The same command goes on where this one stopped."
            ) from error


def record_files(out: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Path inside the bundle → hash and size, of the files of one folder."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return {p.relative_to(out).as_posix(): _record(p) for p in files}


def _record(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}


def _read_progress(out: Path) -> dict[str, Any]:
    """What an interrupted import has finished; nothing where the file is missing or damaged."""
    try:
        done = read_json_object(out / PROGRESS)
    except (OSError, ValueError):
        return {}
    whole = all(
        isinstance(part, dict) and isinstance(part.get("files"), dict) and "key" in part
        for part in done.values()
    )
    return done if whole else {}


def _is_whole(out: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(is_file(out / n) and _record(out / n) == r for n, r in files.items())


def _fingerprint(source: Path, architecture: Architecture) -> str:
    """Changes with the source's files, the shapes that are wanted of it, and what converts it."""
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    facts = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    code = digest_of(modules_reached(["xbind.importing.folders"]))
    return hashlib.sha256(repr((facts, architecture, code)).encode()).hexdigest()
