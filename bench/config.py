"""Options of `xbind-bench`. Imports no torch, so that `--help` is fast."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional

import tyro

# `Optional[...]`, because for `... | None` tyro imports a type checker: 0.1 s more for --help.
_File = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")]  # noqa: UP045


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """Measure every phase with each engine, in step with one real run; or scale it.

    Variants compute the same iterations from the same state, in turn: ratios within one run are
    what counts. `plain` is how the field's frameworks do it: eager networks, and every operator as
    its definition in torch.
    """

    preset: tuple[str, ...] = ("default",)
    """Presets to measure."""
    engine: tuple[str, ...] = ()
    """Variants: plain, eager, torch.compile, cuda-graphs, onnxruntime, openvino, tensorrt,
    tensorrt-rtx; by default all that run here. torch.compile takes minutes to compile. `definition`
    is `plain` with the rasteriser in torch too, which takes minutes for a view."""
    size: tuple[int, ...] = ()
    """Sides of the rendered views in pixels, in all phases; by default the presets' own."""
    samples: int = 8
    """Iterations of each phase that are measured, spread over it."""
    threads: int = 1
    """Threads that compute."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to measure on; `auto` takes CUDA if there is a device."""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the networks in the engines and in `cuda-graphs`."""
    bundle: str = "mini"
    """The frozen networks: `mini`, or the folder of a bundle."""
    text: str = "a red mug"
    """The prompt."""
    seed: int = 0
    """Seed of the run, and of which iterations are measured."""
    clock: Literal["wall", "cpu"] = "wall"
    """`cpu` counts the time that this process computes: for one thread, on a machine that others
    use too."""
    whole: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also run each variant from prompt to files, in a process of its own: time, peak memory."""
    curves: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Instead: cost against render resolution, views, hash levels and tetrahedra."""
    json: _File = None
    """File that one JSON line per measurement is added to."""
    plot: _File = None
    """SVG file for a picture of the figures."""

    def __post_init__(self) -> None:
        for name in ("samples", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if any(size < 8 for size in self.size):
            raise ValueError(f"--size must be at least 8 pixels, got {min(self.size)}")
        if self.whole and self.curves:
            raise ValueError("--whole goes with measured phases: leave out --curves")
