"""Graphs that torch Inductor has compiled, on a CPU and on CUDA.

An engine is a library of machine code, so that loading one means running it. It comes from this
machine's own compiler and is trusted for two reasons, both checked before it is loaded: every byte
is what its builder wrote (the store compares the hashes), and nobody but this user, or the system's
administrator, can write the file, its folder or the store (`check_owned`).
"""

import hashlib
import os
import platform
import stat
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xbind.config.backends import BACKENDS
from xbind.engine.backend import Backend, Runtime
from xbind.engine.cuda_device import card_of_device, has_card
from xbind.engine.cuda_graph import GraphedStep, Recorder
from xbind.engine.errors import BackendUnavailable, EngineDamaged, EngineError
from xbind.engine.record import Entry
from xbind.engine.spec import GraphSpec
from xbind.engine.workspace import Workspace
from xbind.system.device import without_tf32
from xbind.system.out_of_memory import memory_errors
from xbind.system.threads import torch_threads

PACKAGE = "engine.pt2"
"""File name of a package in an engine's folder."""
CPUINFO = Path("/proc/cpuinfo")
"""What Linux says of the processors; each is a block of lines."""
CUDA = torch.device("cuda")
_PRECISIONS = {"cpu": ("float32", "bfloat16"), "cuda": ("float32", "float16", "bfloat16")}


class InductorBackend(Backend):
    """Runs a package: on a CPU as it is, on CUDA recorded as one CUDA graph."""

    def __init__(
        self,
        spec: GraphSpec,
        package: Path,
        *,
        threads: int = 1,
        device: torch.device | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Load a package.

        Args:
            spec: of the graph.
            package: the file; the store has compared its hash.
            threads: how many compute, on a CPU.
            device: the GPU that it was built for; None for a CPU.
            recorder: records it as a CUDA graph; for a GPU.

        Raises:
            EngineError: somebody else can write the file.
            EngineDamaged: torch cannot load it.
            TooLittleMemory: an allocation fails.
        """
        super().__init__(spec)
        check_owned(package)
        self._threads, self._device = threads, device
        try:
            with memory_errors(f"the engine {spec.name!r}"):
                self._model: Any = _Package(spec, package, device)
        except (RuntimeError, ValueError) as error:
            raise EngineDamaged(
                f"torch {torch.__version__} cannot load {package}:\n{error}\n"
                "Remove it with `xbind engines gc`, and it will be built again."
            ) from error
        self._call: Any = self._model if recorder is None else GraphedStep(self._model, recorder)

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        first, *others = self.spec.input_names
        origin = feeds[first].device
        given = {name: x.detach().to(self._device or origin) for name, x in feeds.items()}
        with torch.no_grad(), torch_threads(self._threads), without_tf32():
            outputs = self._call(given[first], **{name: given[name] for name in others})
        tensors = (x.to(origin) for x in outputs)
        return dict(zip(self.spec.output_names, tensors, strict=True))

    def close(self) -> None:
        if self._device is not None and self._call is not None:
            torch.cuda.synchronize(self._device)  # a launch may still read weights
        self._call = self._model = None


class _Package:
    """A loaded package, called like a guidance step."""

    def __init__(self, spec: GraphSpec, package: Path, device: torch.device | None) -> None:
        self.inputs, self.outputs = spec.input_names, spec.output_names
        index = -1 if device is None or device.index is None else device.index
        # its bookkeeping for several threads queries events, which a CUDA graph cannot record
        self._loader = torch._inductor.aoti_load_package(
            str(package), run_single_threaded=device is not None, device_index=index
        ).loader

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Run once; a package takes its inputs for contiguous without looking."""
        given = [image, *(feeds[name] for name in self.inputs[1:])]
        return tuple(self._loader.run([x.contiguous() for x in given]))


def check_owned(package: Path) -> None:
    """Refuse machine code that somebody else could have written.

    The file, its folder and the folder above must belong to this user or to the administrator. No
    others may write them, except members of this user's own group, which many systems allow.

    Raises:
        EngineError: names the path, and what to type.
    """
    if os.name != "posix":
        return
    for path in (package, package.parent, package.parent.parent):
        found = path.stat()
        is_own = found.st_uid in (0, os.geteuid())
        by_group = bool(found.st_mode & stat.S_IWGRP) and found.st_gid != os.getegid()
        if not is_own or by_group or found.st_mode & stat.S_IWOTH:
            raise EngineError(
                f"{path} can be written by others (owner {found.st_uid}, mode "
                f"{stat.filemode(found.st_mode)}), and an Inductor engine is machine code.\n"
                f"Take it away from them with `chmod go-w {path}`, name a folder of your own in "
                "XBIND_CACHE, or choose another --engine."
            )


class InductorRuntime(Runtime):
    """torch Inductor, for the device of its record."""

    @property
    def _device(self) -> str:
        return BACKENDS[self.backend].device

    def version(self) -> str:
        return str(torch.__version__)

    def target(self) -> str:
        return processor() if self._device == "cpu" else card_of_device(self.backend)

    def check_precision(self, precision: str, targets: Sequence[str] = ()) -> None:
        known = _PRECISIONS[self._device]
        if precision not in known:
            raise BackendUnavailable(
                f"{self.backend} has {', '.join(known)}, not {precision}.\n"
                f"Give --precision {known[-1]}, or another --engine."
            )

    def card(self, target: str) -> str | None:
        return target if self._device == "cuda" and has_card(target) else None

    def open(
        self,
        entry: Entry,
        *,
        threads: int,
        workspace: Workspace | None = None,
        device: torch.device | None = None,
    ) -> InductorBackend:
        package = entry.folder / PACKAGE
        if self._device == "cpu":
            return InductorBackend(entry.spec, package, threads=threads)
        target, here = entry.key.fields["target"], card_of_device(self.backend, device)
        if target != here:
            raise BackendUnavailable(
                f"{entry.folder} was built for {target}, but this GPU is {here}.\n"
                "Build one for it with xbind-build-engines."
            )
        workspace = workspace or Workspace()
        if workspace.recorder is None:
            workspace.recorder = Recorder()
        return InductorBackend(
            entry.spec, package, threads=threads, device=device or CUDA,
            recorder=workspace.recorder,
        )  # fmt: skip


@cache
def processor() -> str:
    """The CPU that code is compiled for: name, instruction set of torch, digest of its features.

    Compilers use all instructions of the CPU that is there; two CPUs of one name may differ in them
    under a hypervisor.
    """
    name, features = platform.processor() or platform.machine(), ""
    if CPUINFO.is_file():
        block = CPUINFO.read_text(errors="replace").partition("\n\n")[0]
        rows = [line.partition(":") for line in block.splitlines()]
        lines = {key.strip().lower(): value.strip() for key, _, value in rows}
        name = lines.get("model name", name)
        features = lines.get("flags", lines.get("features", ""))
    digest = hashlib.sha256(" ".join(sorted(features.split())).encode()).hexdigest()[:8]
    return f"cpu {name} {torch.backends.cpu.get_cpu_capability()} {digest}"
