"""What decides an engine, known without building it."""

import hashlib
import importlib.util
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from safetensors import safe_open

from xbind.config import Precision
from xbind.engine.entry import Key
from xbind.engine.errors import EngineError
from xbind.engine.open import BackendName, target_of, version_of
from xbind.engine.store import FORMAT
from xbind.graphs import BIND, GraphRequest
from xbind.models.bundle import BundleManifest

_SOURCES = ("xbind.export", "xbind.guidance", "xbind.models", "xbind.graphs", "xbind.precision")
"""Modules whose code becomes part of a graph."""
_LIBRARIES = ("torch", "diffusers", "transformers")
"""Distributions whose code becomes part of a graph."""


def key_of(
    request: GraphRequest,
    backend: BackendName,
    manifest: BundleManifest,
    *,
    precision: Precision = "float32",
    targets: Sequence[str] = (),
) -> Key:
    """Everything that decides an engine.

    Args:
        request: the graph.
        backend: what runs it.
        manifest: of the bundle that it is made of.
        precision: of the frozen networks in it.
        targets: GPU architectures such as `sm89`, for a backend that builds for others than this
            machine's; empty for this machine.

    Raises:
        BackendUnavailable: the backend is not installed here.
    """
    return Key(
        {
            "graph": request.label,
            "weights": _weights_digest(request.name, manifest),
            "precision": precision,
            "target": "+".join(targets) or target_of(backend),
            **_surroundings(backend),
        }
    )


def why_stale(key: Key) -> list[str]:
    """What of this installation differs from what an engine was built for; empty if it fits."""
    backend = cast(BackendName, key.fields["backend"])
    try:
        present = _surroundings(backend)
    except EngineError as error:
        return [str(error).splitlines()[0]]
    target = key.fields["target"]
    if not target.startswith("sm"):
        present["target"] = target_of(backend)
    return key.differences(Key({**key.fields, **present}))


def _surroundings(backend: BackendName) -> dict[str, str]:
    """The part of a key that is the same for all graphs of a backend."""
    return {
        "format": FORMAT,
        "backend": backend,
        "backend_version": version_of(backend),
        "system": f"{platform.system()} {platform.machine()}",
        "exporter": _exporter_digest(),
        **{name: version(name) for name in _LIBRARIES},
    }


def weight_bytes(request: GraphRequest, manifest: BundleManifest) -> int:
    """Size of all parameters of the networks in a graph, in float32."""
    count = 0
    for name in _files(request.name, manifest):
        if name.endswith(".safetensors"):
            with safe_open(manifest.folder / name, "pt") as file:
                count += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return 4 * count


def _weights_digest(name: str, manifest: BundleManifest) -> str:
    """Of the files of the networks in a graph, and the bundle's image sizes."""
    files = {path: entry["sha256"] for path, entry in _files(name, manifest).items()}
    content = repr((sorted(files.items()), sorted(manifest.raw["image_size"].items())))
    return hashlib.sha256(content.encode()).hexdigest()


def _files(name: str, manifest: BundleManifest) -> dict[str, Mapping[str, Any]]:
    """Those of the networks in a graph, with what the manifest says of them."""
    parts = [manifest.path_of(role) for role in roles_of(name)]
    return {
        path: entry
        for path, entry in manifest.files.items()
        if any(path == part or path.startswith(f"{part}/") for part in parts)
    }


def roles_of(name: str) -> tuple[str, ...]:
    """The parts of a bundle whose content is in a graph."""
    if name.startswith(BIND):
        return ("bind",)
    match name:
        case "ms" | "clip_image":
            return ("clip",)
        case "unet2d":
            return ("unclip.unet",)
        case "unet3d":
            return ("zero123.unet",)
        case "vae_encode" | "vae_decode":
            return ("unclip.vae",)
        case "sds3d" | "sds3d_img" | "sds3d_tiny":
            own: tuple[str, ...] = ("zero123.unet", "zero123.vae", "zero123.scheduler")
        case _:
            own = ("unclip.unet", "unclip.vae", "unclip.scheduler", "unclip.empty_prompt")
    return (*own, "taesd") if name.endswith("_tiny") else own


@cache
def _exporter_digest() -> str:
    """Of our own code that decides a graph: a changed line makes another engine."""
    digest = hashlib.sha256()
    for path in _source_files():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _source_files() -> Iterator[Path]:
    for module in _SOURCES:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        yield from sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
