"""Fingerprints of engines: everything that decides an engine, known without building it."""

import hashlib
import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import safe_open

from xbind.config.backends import BACKENDS, BackendName
from xbind.config.options import Precision
from xbind.engine.backends import target_of, version_of
from xbind.engine.errors import EngineDamaged, EngineError
from xbind.engine.record import Key
from xbind.engine.store import FORMAT
from xbind.networks.components import loading
from xbind.networks.graphs import GraphRequest, graph_named
from xbind.networks.manifest import BundleError, BundleManifest
from xbind.networks.source_digest import digest_of, modules_reached
from xbind.system.cache import cache_folder

ROOTS = ("xbind.networks.build", "xbind.networks.load")
"""Modules that make engines, and the networks in them; with those that the backends' records name,
their code and all that they import decides what a graph computes."""
_LIBRARIES = ("torch", "diffusers", "transformers", "onnx")
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
            **(_layers(request, backend, manifest) if precision == "mixed" else {}),
        }
    )


def layers_file(request: GraphRequest, backend: BackendName, manifest: BundleManifest) -> Path:
    """Where the layers of a graph are kept that a mixed engine holds in float32.

    Layers are known by names that the exporter gives, so another exporter has another file.
    """
    made_of = {"weights": _weights_digest(request.name, manifest), **_surroundings(backend)}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "float32-layers" / f"{request.label}-{backend}-{digest[:24]}.json"


def read_layers(
    request: GraphRequest, backend: BackendName, manifest: BundleManifest
) -> tuple[str, ...]:
    """The layers that a mixed engine holds in float32; empty where none were found to need it.

    Raises:
        EngineDamaged: the file that names them is damaged.
    """
    path = layers_file(request, backend, manifest)
    if not path.is_file():
        return ()
    try:
        names = json.loads(path.read_bytes())
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("not a list of names")
    except (OSError, ValueError) as error:
        raise EngineDamaged(
            f"{path} does not name the layers to keep in float32 ({error}).\n"
            "Remove it, and find them again with `xbind engines diagnose`."
        ) from error
    return tuple(names)


def _layers(
    request: GraphRequest, backend: BackendName, manifest: BundleManifest
) -> dict[str, str]:
    names = read_layers(request, backend, manifest)
    return {"float32_layers": hashlib.sha256(repr(names).encode()).hexdigest() if names else "none"}


def why_stale(key: Key) -> list[str]:
    """Returns the differences of this installation from the one of an engine; empty if it fits."""
    backend = key.fields["backend"]
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
    for _, path, _ in _files(request.name, manifest):
        if path.endswith(".safetensors"):
            with loading(manifest.folder / path), safe_open(manifest.folder / path, "pt") as file:
                count += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return 4 * count


def _weights_digest(name: str, manifest: BundleManifest) -> str:
    """Returns the digest of a graph's components: their files, and the figures of the bundle."""
    files = sorted((role, path, entry["sha256"]) for role, path, entry in _files(name, manifest))
    figures = json.dumps(manifest.figures, sort_keys=True)
    return hashlib.sha256(repr((files, figures)).encode()).hexdigest()


def _files(name: str, manifest: BundleManifest) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Role, path in the bundle and entry of every file of the components in a graph.

    Raises:
        BundleError: the bundle lacks a component, or `bundle.json` lists no file of it.
    """
    graph = graph_named(name)
    optional = (role for role in graph.optional if manifest.has(role))
    for role in (*graph.components, *optional):
        part = manifest.path_of(role)
        files = [path for path in manifest.files if f"{path}/".startswith(f"{part}/")]
        if not files:
            raise BundleError(
                f"The bundle {manifest.name!r} lists no file of {role!r} below {part!r}.\n"
                f"Install or import the bundle again."
            )
        yield from ((role, path, manifest.files[path]) for path in files)


def roots() -> tuple[str, ...]:
    """`ROOTS`, and the modules that backends run and build engines with, which are imported late.

    The choice of a backend is not in it: each is part of every engine's fingerprint.
    """
    named = {path for record in BACKENDS.values() for path in (record.runtime, record.builder)}
    return (*ROOTS, *sorted({path.partition(":")[0] for path in named}))


@cache
def _exporter_digest() -> str:
    """Returns the digest of our own code that decides a graph."""
    return digest_of(modules_reached(roots()))
