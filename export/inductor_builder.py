"""A graph as an engine of torch Inductor: machine code of its own, in an AOTInductor package.

Inductor keeps what it compiles in a cache by source, and a build that is killed leaves half a
library there, which later builds would take. Every engine is therefore built with a cache of its
own, inside its folder, which the store removes with the folder.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from xbind.config.backends import BACKENDS
from xbind.engine.errors import BackendUnavailable
from xbind.engine.inductor import PACKAGE
from xbind.errors import XBindError
from xbind.export.build_settings import BuildSettings
from xbind.export.errors import BuildRefused
from xbind.export.fx_graph import FxGraph
from xbind.system.device import without_tf32
from xbind.system.out_of_memory import is_memory_error, too_little_memory


def build_engine(graph: FxGraph, folder: Path, settings: BuildSettings) -> None:
    """Compile a graph for the device that its constants are on.

    Raises:
        BackendUnavailable: there is no C++ compiler.
        BuildRefused: torch cannot compile the graph.
        TooLittleMemory: an allocation fails.
    """
    check_compiler()
    device = BACKENDS[settings.backend].device
    with _errors(graph.spec.name), _own_cache(folder), torch.no_grad(), without_tf32():
        program = torch.export.export(graph.module, graph.feeds, strict=False)
        torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(folder / PACKAGE),
            inductor_configs=options(device, settings.threads),
        )


def options(device: str, threads: int) -> dict[str, Any]:
    """Returns the settings of Inductor.

    On a CPU, generated loops run on one thread and only torch's own convolutions and products on
    several. With `cpp.dynamic_threads` torch 2.13 returns wrong sums: a loss of 291 is 340 with two
    threads, and 364 with three.

    Args:
        device: `cpu` or `cuda`.
        threads: processes that compile.
    """
    if device == "cpu":  # where Inductor keeps images with the channels last by itself
        return {"cpp.threads": 1, "cpp.dynamic_threads": False, "compile_threads": threads}
    return {
        "max_autotune": True,
        "max_autotune_gemm_backends": "ATEN,TRITON",
        "force_layout_optimization": True,  # channels last
        "compile_threads": threads,
    }


def check_compiler() -> None:
    """Refuse to build where there is no C++ compiler.

    Raises:
        BackendUnavailable: says what to install.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise BackendUnavailable(
            "Inductor compiles its engines with a C++ compiler, and there is no g++ here.\n"
            "Install one (such as the package g++), name one in CXX, or choose another --engine. "
            "Engines that are built already run without it."
        ) from error


@contextmanager
def _own_cache(folder: Path) -> Iterator[None]:
    """While open, everything that Inductor and Triton compile goes into a folder in `folder`."""
    from torch._inductor.utils import fresh_cache

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own code, about itself
        with fresh_cache(dir=str(folder)):
            yield


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Turn whatever torch's compilers raise into errors of ours; they share no base class."""
    try:
        yield
    except XBindError:
        raise
    except Exception as error:
        if is_memory_error(error):
            raise too_little_memory(error, f"building {name!r}") from error
        first = next(iter(str(error).strip().splitlines()), "")
        raise BuildRefused(
            f"Inductor of torch {torch.__version__} cannot build {name!r} "
            f"({type(error).__name__}: {first}).\n"
            "Choose another --engine or --precision; `xbind engines gc` lets it be tried again."
        ) from error
