"""What decides an engine, known without building it."""

import hashlib
import importlib.util
import platform
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import cast

from xbind.engine.entry import Key
from xbind.engine.errors import EngineError
from xbind.engine.open import BackendName, target_of, version_of
from xbind.engine.store import FORMAT
from xbind.graphs import BIND, GraphRequest
from xbind.models.bundle import BundleManifest

_SOURCES = ("xbind.export", "xbind.guidance", "xbind.models", "xbind.graphs")
"""Modules whose code becomes part of a graph."""
_LIBRARIES = ("torch", "diffusers", "transformers")
"""Distributions whose code becomes part of a graph."""


def key_of(
    request: GraphRequest,
    backend: BackendName,
    manifest: BundleManifest,
    *,
    precision: str = "float32",
) -> Key:
    """Everything that decides an engine.

    Args:
        request: the graph.
        backend: what runs it.
        manifest: of the bundle that it is made of.
        precision: of the frozen networks in it.

    Raises:
        BackendUnavailable: the backend is not installed here.
    """
    return Key(
        {
            "graph": request.label,
            "weights": _weights_digest(request.name, manifest),
            "precision": precision,
            **_surroundings(backend),
        }
    )


def why_stale(key: Key) -> list[str]:
    """What of this installation differs from what an engine was built for; empty if it fits."""
    try:
        present = _surroundings(cast(BackendName, key.fields["backend"]))
    except EngineError as error:
        return [str(error).splitlines()[0]]
    return key.differences(Key({**key.fields, **present}))


def _surroundings(backend: BackendName) -> dict[str, str]:
    """The part of a key that is the same for all graphs of a backend."""
    return {
        "format": FORMAT,
        "backend": backend,
        "backend_version": version_of(backend),
        "target": target_of(backend),
        "system": f"{platform.system()} {platform.machine()}",
        "exporter": _exporter_digest(),
        **{name: version(name) for name in _LIBRARIES},
    }


def _weights_digest(name: str, manifest: BundleManifest) -> str:
    """Of the files of the networks in a graph, and the bundle's image sizes."""
    parts = [str(manifest.raw["parts"][role]) for role in _roles(name)]
    files = {
        path: entry["sha256"]
        for path, entry in manifest.files.items()
        if any(path == part or path.startswith(f"{part}/") for part in parts)
    }
    content = repr((sorted(files.items()), sorted(manifest.raw["image_size"].items())))
    return hashlib.sha256(content.encode()).hexdigest()


def _roles(name: str) -> tuple[str, ...]:
    """The parts of a bundle whose content is in a graph."""
    if name.startswith(BIND):
        return ("bind",)
    if name in ("ms", "clip_image"):
        return ("clip",)
    if name in ("sds3d", "sds3d_img", "unet3d"):
        return ("zero123.unet", "zero123.vae", "zero123.scheduler")
    return ("unclip.unet", "unclip.vae", "unclip.scheduler", "unclip.empty_prompt")


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
