"""Time the guidance steps of the public networks' size on this GPU.

    python -P bench/bench_real_steps.py [--preset paper fast] [--precision float16]
                                        [--layouts first last fused] [--only GRAPH …] [--json FILE]

The weights are random, so only the cost of a step means something. Each step runs in eager torch
and as one CUDA graph, with UNets and autoencoders in each layout: channels first, channels last,
and channels last with norms fused (`fused`, which is what a run takes in half precision). The
cosine is that of the step's last output, the gradient, with the one of the first layout.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from xbind.bench.ops import OpCounter
from xbind.bench.real_builds import SHARE, draw_like
from xbind.bench.timing import describe_versions, device_name, quantiles_ms
from xbind.config.presets import preset_named
from xbind.engine.cuda_graph import GraphedStep, Recorder
from xbind.importing.architectures import sd21
from xbind.importing.random_weights import write_shapes
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import (
    GraphRequest,
    StepDef,
    graph_named,
    make_module,
    requests_of_run,
    sample_inputs,
)
from xbind.networks.layout import use_channels_last
from xbind.networks.load import assemble, load_shapes
from xbind.networks.manifest import BundleManifest
from xbind.networks.precision import in_precision

CUDA = torch.device("cuda")
LAYOUTS = ("first", "last", "fused")
"""Of UNets and autoencoders, in the order in which one can be made from the one before."""
TWIN = 1e-2
"""Largest relative difference of a replay from eager torch: libraries may choose other kernels."""


def main() -> None:
    """Measure, compare, print; exit status 1 where a replay computes something else."""
    arguments = _parse()
    if not torch.cuda.is_available():
        sys.exit("bench_real_steps: torch finds no CUDA device here.\nRun it where there is one.")
    console, precision = Console(width=160), arguments.precision
    with TemporaryDirectory() as folder:
        manifest = write_shapes(Path(folder) / "shapes", sd21())
        requests = list(
            dict.fromkeys(
                request
                for name in arguments.preset
                for request in requests_of_run(preset_named(name), manifest)
                if not arguments.only or request.name in arguments.only
            )
        )
        counted = count_graphs(manifest, requests)
        bundle = in_precision(random_bundle(manifest, precision), precision)
    rows: list[dict[str, Any]] = []
    first_outputs: dict[GraphRequest, Tensor] = {}
    for layout in [name for name in LAYOUTS if name in arguments.layouts]:
        lay_out(bundle, layout)
        for request in requests:
            flops, shapes = counted[request]
            row, last = _measure(bundle, request, shapes, arguments.seconds)
            row |= {
                "cosine": _cosine(last, first_outputs.setdefault(request, last)),
                "graph": request.label, "layout": layout, "precision": precision,
                "tflop": flops / 1e12, "device": device_name(CUDA), "versions": describe_versions(),
            }  # fmt: skip
            rows.append(row)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            console.print(f"{row['graph']}, {layout}: as a CUDA graph {row['graph_ms']:.1f} ms")
    console.print(_table(rows))
    differ = [row["graph"] for row in rows if not row["difference"] <= TWIN]
    if differ:
        sys.exit(f"A replay computes something else than eager torch: {', '.join(differ)}")


def count_graphs(
    manifest: BundleManifest, requests: Iterable[GraphRequest]
) -> dict[GraphRequest, tuple[float, dict[str, Tensor]]]:
    """Arithmetic and feeds of each graph in float32, counted on tensors without memory.

    Args:
        manifest: of a bundle; its weights are not read.
        requests: the graphs.

    Returns:
        Graph → floating-point operations of one call, and its feeds as fake tensors.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    shapes, counted = load_shapes(manifest, mode), {}
    for request in requests:
        with mode, torch.no_grad():
            feeds = sample_inputs(shapes, request, SHARE, torch.Generator().manual_seed(0))
            module = make_module(shapes, request.name)
            with OpCounter() as counter:
                module(**feeds)
        counted[request] = (counter.flops, feeds)
    return counted


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", nargs="+", default=["paper", "fast"])
    choices = ("float32", "float16", "bfloat16")
    parser.add_argument("--precision", default="float16", choices=choices)
    parser.add_argument("--only", nargs="+", help="names of graphs, such as sds2d_img")
    parser.add_argument("--layouts", nargs="+", default=LAYOUTS, choices=LAYOUTS)
    parser.add_argument("--seconds", type=float, default=1.0, help="about so long per measurement")
    parser.add_argument("--json", type=Path, help="append one line per graph")
    return parser.parse_args()


def random_bundle(manifest: BundleManifest, precision: str, device: torch.device = CUDA) -> Bundle:
    """Networks of a bundle's shapes on the device, initialised as their libraries do it."""
    torch.manual_seed(0)  # the libraries' initialisers take no generator

    def fill(build: Callable[[], nn.Module], path: Path) -> nn.Module:
        del path
        with device:
            net = build()
        if not isinstance(net, nn.Linear):
            net = nn.Module.to(net, getattr(torch, precision))
        return net.eval().requires_grad_(False)

    return assemble(manifest, fill).to(device)


def lay_out(bundle: Bundle, layout: str) -> None:
    """Bring UNets and autoencoders into one of `LAYOUTS`, in place."""
    if layout == "fused":
        use_channels_last(bundle)
        return
    to: Any = nn.Module.to  # its types leave the layout out
    memory_format = torch.channels_last if layout == "last" else torch.contiguous_format
    for prior in (bundle.unclip, bundle.zero123):
        for net in (prior.unet, prior.vae):
            to(net, memory_format=memory_format)


def _measure(
    bundle: Bundle, request: GraphRequest, shapes: Mapping[str, Tensor], seconds: float
) -> tuple[dict[str, Any], Tensor]:
    """Figures of one graph, and its last output on the CPU."""
    module: Any = make_module(bundle, request.name)
    generator = torch.Generator(CUDA).manual_seed(0)
    feeds = {name: draw_like(name, x, generator) for name, x in shapes.items()}
    if not isinstance(graph_named(request.name), StepDef):  # as a step of one output
        module = _Forward(module, tuple(feeds))
    graphed = GraphedStep(module, Recorder())
    first, *others = module.inputs

    def call(step: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        outputs: tuple[Tensor, ...] = step(feeds[first], **{k: feeds[k] for k in others})
        return outputs

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.no_grad():
        wanted = call(module)
        peak = torch.cuda.max_memory_allocated() - before
        eager = quantiles_ms(lambda: call(module), CUDA, seconds=seconds)
        found = call(graphed)
        replayed = quantiles_ms(lambda: call(graphed), CUDA, seconds=seconds)
    difference = max(
        float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-12))
        for a, b in zip(found, wanted, strict=True)
    )
    row = {
        "eager_ms": eager.p50_ms, "graph_ms": replayed.p50_ms,
        "activation_bytes": peak, "difference": difference,
        "finite": all(bool(x.isfinite().all()) for x in wanted),
    }  # fmt: skip
    return row, wanted[-1].float().cpu()


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0))


class _Forward:
    """A plain forward, called like a guidance step."""

    outputs = ("output",)

    def __init__(self, module: nn.Module, inputs: tuple[str, ...]) -> None:
        self._module, self.inputs = module, inputs

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        return (self._module(image, **feeds),)


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"{rows[0]['device']}, {rows[0]['precision']}")
    for column in (
        "graph",
        "layout",
        "TFLOP",
        "eager ms",
        "CUDA graph ms",
        "TFLOP/s",
    ):
        table.add_column(column, justify="left" if column == "graph" else "right")
    for column in ("activations GiB", "difference", "cosine", "finite"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["graph"], row["layout"], f"{row['tflop']:.2f}",
            f"{row['eager_ms']:.1f}", f"{row['graph_ms']:.1f}",
            f"{1e3 * row['tflop'] / row['graph_ms']:.0f}",
            f"{row['activation_bytes'] / 2**30:.2f}", f"{row['difference']:.0e}",
            f"{row['cosine']:.6f}", "yes" if row["finite"] else "NO",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
