"""`xbind doctor`: what is here, what would run and why, and what is in the way."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import numba
import torch
from rich.table import Table
from rich.text import Text

import xbind
from xbind.config.backends import BACKENDS, BackendName, automatic_for
from xbind.engine.backends import target_of, version_of
from xbind.engine.errors import BackendUnavailable
from xbind.engine.record import Entry
from xbind.engine.store import EngineStore, engines_folder
from xbind.errors import XBindError
from xbind.networks.fingerprint import why_stale
from xbind.networks.manifest import load_manifest, verify
from xbind.run.console import PlainConsole
from xbind.run.folder import NEEDED_BYTES
from xbind.run.progress import format_bytes
from xbind.system.cache import CacheError, cache_folder, cache_notice
from xbind.system.device import choose_device

REQUIRED = (
    *("torch", "diffusers", "transformers", "safetensors", "numpy", "numba", "scipy"),
    *("pillow", "soundfile", "soxr", "trimesh", "xatlas", "tyro", "rich", "jaxtyping"),
    *("onnx", "onnxruntime", "platformdirs"),
)
"""Distributions that are installed with xbind."""
OPTIONAL = {
    "triton": "fused operators on CUDA",
    "nvdiffrast": "rasterising on CUDA",
    "tinycudann": "the hash grid on CUDA",
    "open_clip": "judges for the evaluation",
}
"""Modules that nothing needs, and what each is for."""

State = Literal["ok", "note", "fail"]
_COLOURS: dict[State, str] = {"ok": "green", "note": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Line of the report."""

    state: State
    """`fail` is in the way of a run; `note` is not."""
    topic: str
    detail: str


def doctor(bundle: str) -> int:
    """Print the report; the exit status, 1 when something is in the way of a run."""
    findings = list(examine(bundle))
    table = Table(box=None, show_header=False)
    for finding in findings:
        colour = _COLOURS[finding.state]
        table.add_row(Text(finding.state, colour), finding.topic, finding.detail)
    PlainConsole().print(table)
    return int(any(finding.state == "fail" for finding in findings))


def examine(bundle: str) -> Iterator[Finding]:
    """All findings about this machine and one bundle."""
    yield Finding("ok", "xbind", xbind.__version__)
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}")
    yield from map(_required, REQUIRED)
    yield _cpu()
    yield _cuda()
    yield from (_optional(module, use) for module, use in OPTIONAL.items())
    yield _device()
    yield _cache()
    yield from _backends()
    yield _room(Path.cwd())
    yield _bundle(bundle)


def _required(name: str) -> Finding:
    try:
        return Finding("ok", name, version(name))
    except PackageNotFoundError:
        return Finding("fail", name, f"not installed; type: pip install {name}")


def _optional(module: str, use: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        return Finding("note", module, f"not installed; meant for {use}")
    return Finding("ok", module, f"installed; meant for {use}")


def _cpu() -> Finding:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding(
        "ok",
        "CPU",
        f"{allowed} of {os.cpu_count()} cores for this process; torch uses "
        f"{torch.get_num_threads()} threads, numba up to {numba.get_num_threads()}",
    )


def _cuda() -> Finding:
    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = (
            f"no device found by torch for CUDA {built}" if built else "this torch is for CPUs only"
        )
        return Finding("note", "CUDA", f"not available: {why}")
    devices = []
    for index in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(index)
        memory = torch.cuda.get_device_properties(index).total_memory
        name = torch.cuda.get_device_name(index)
        devices.append(f"{name} (SM {major}{minor}, {format_bytes(memory)})")
    return Finding("ok", "CUDA", f"{torch.version.cuda}: {', '.join(devices)}")


def _device() -> Finding:
    taken = choose_device("auto").type
    if taken == "cpu" and torch.cuda.is_available():
        why = "there is CUDA, but no Triton; type: pip install triton"
        return Finding("note", "device", f"--device auto takes cpu: {why}")
    return Finding("ok", "device", f"--device auto takes {taken}")


def _backends() -> Iterator[Finding]:
    """Yields the backends that can run the frozen networks, and the choice of `--engine auto`."""
    states = {name: _can_run(name) for name in BACKENDS}
    on_gpu = choose_device("auto").type == "cuda"
    candidates = [record.name for record in automatic_for("cuda" if on_gpu else "cpu")]
    without = "cuda-graphs" if on_gpu else "eager"
    taken = next((name for name in candidates if states[name].state == "ok"), without)
    yield Finding("ok", "engine", f"--engine auto takes {taken}; eager torch is always there")
    yield from states.values()
    store = EngineStore(engines_folder())
    entries = list(store.entries())
    whole = [entry for entry in entries if isinstance(entry, Entry)]
    taking = [entry for entry in whole if entry.key.fields["backend"] == taken]
    fitting = [entry for entry in taking if not why_stale(entry.key)]
    detail = f"{len(fitting)} of {len(taking)} for {taken} fit this installation, in {store.root}"
    if damaged := len(entries) - len(whole):
        detail += f"; {damaged} damaged"
    state: State = "note" if damaged or len(fitting) < len(taking) else "ok"
    yield Finding(state, "engines", detail + ("" if state == "ok" else "; xbind engines gc"))


def _can_run(backend: BackendName) -> Finding:
    try:
        found = f"{version_of(backend)}, for {target_of(backend)}"
    except BackendUnavailable as error:
        why, _, remedy = str(error).partition("\n")
        return Finding("note", backend, f"cannot run here: {why} {remedy}")
    return Finding("ok", backend, found)


def _cache() -> Finding:
    """Yields the folders of compiled graphs and operators."""
    try:
        notice = cache_notice()
    except CacheError as error:
        return Finding("fail", "cache", str(error))
    if notice is not None:
        return Finding("note", "cache", notice)
    return Finding("ok", "cache", str(cache_folder()))


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free >= NEEDED_BYTES else "fail"
    return Finding(
        state, "disk", f"{format_bytes(free)} free in {folder}; {format_bytes(NEEDED_BYTES)} needed"
    )


def _bundle(name: str) -> Finding:
    try:
        manifest = load_manifest(name)
        verify(manifest)
    except XBindError as error:
        return Finding("fail", "bundle", str(error))
    size = format_bytes(sum(int(entry["bytes"]) for entry in manifest.files.values()))
    count = len(manifest.files)
    return Finding("ok", "bundle", f"{name}: {count} files, {size}, all hashes agree")
