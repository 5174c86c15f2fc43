"""Time the guidance steps of the public networks' size on this GPU, beside their projection.

    python bench/bench_real_steps.py [--preset paper fast] [--precision float16] [--json FILE]

Random weights: what a step computes means nothing, what it costs does. Each step runs in eager
torch and as one CUDA graph; `projected` is what `xbind-bench --project` says of the card named with
--card, of which nothing was measured.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from xbind.bench.counted import StepWork, bundle_of, counted_bundle
from xbind.bench.gpus import GPUS, gpu_named
from xbind.bench.projection import Assumptions, step_seconds
from xbind.bench.real_builds import draw_like
from xbind.bench.timing import describe_versions, device_name, quantiles_ms
from xbind.config.presets import preset_named
from xbind.engine.cuda_graph import GraphedStep, Recorder
from xbind.importing.architectures import Architecture, sd21
from xbind.importing.random_weights import networks
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import STEPS, GraphRequest, make_module, requests_of_run
from xbind.networks.manifest import BundleManifest
from xbind.networks.precision import in_precision

CUDA = torch.device("cuda")
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
"""Of the weights of UNets and VAEs."""
NETS = ("unet", "vae")
TWIN = 1e-2
"""How far a replay may be from eager torch, relative: libraries may choose other kernels."""


def main() -> None:
    """Measure, compare, print; exit status 1 where a replay computes something else."""
    arguments = _parse()
    if not torch.cuda.is_available():
        sys.exit("bench_real_steps: torch finds no CUDA device here.\nRun it where there is one.")
    architecture, console = sd21(), Console(width=160)
    with counted_bundle(architecture) as counted:
        manifest = counted.manifest
        requests = dict.fromkeys(
            request
            for name in arguments.preset
            for request in requests_of_run(preset_named(name), manifest)
            if not arguments.only or request.name in arguments.only
        )
        work = {request: counted.count(request) for request in requests}
        shapes = {request: counted.feeds(request) for request in requests}
    precision = arguments.precision
    bundle = in_precision(random_bundle(architecture, manifest, precision), precision)
    rows: list[dict[str, Any]] = []
    for layout in list(LAYOUTS)[: 2 if arguments.channels_last else 1]:
        nets: list[Any] = [getattr(p, n) for p in (bundle.unclip, bundle.zero123) for n in NETS]
        for net in nets:
            move: Any = nn.Module.to  # its types leave the layout out
            move(net, memory_format=LAYOUTS[layout])
        for request in requests:
            row = _measure(bundle, request, shapes[request], arguments.seconds)
            row |= _about(request, work[request], layout, arguments)
            rows.append(row)
            if arguments.json:
                with arguments.json.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            console.print(f"{row['graph']} {layout}: graph {row['graph_ms']:.1f} ms")
    console.print(_table(rows))
    differ = [row["graph"] for row in rows if not row["difference"] <= TWIN]
    if differ:
        sys.exit(f"A replay computes something else than eager torch: {', '.join(differ)}")


def _about(
    request: GraphRequest, work: StepWork, layout: str, arguments: argparse.Namespace
) -> dict[str, Any]:
    card = gpu_named(arguments.card)
    return {
        "graph": request.label, "layout": layout, "precision": arguments.precision,
        "tflop": work.flops / 1e12, "card": card.name,
        "projected_ms": 1e3 * step_seconds(work, card, Assumptions()),
        "device": device_name(CUDA), "versions": describe_versions(),
    }  # fmt: skip


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", nargs="+", default=["paper", "fast"])
    choices = ("float32", "float16", "bfloat16")
    parser.add_argument("--precision", default="float16", choices=choices)
    parser.add_argument("--card", default="h100", choices=GPUS, help="whose projection to show")
    parser.add_argument("--only", nargs="+", help="names of graphs, such as sds2d_img")
    parser.add_argument("--channels-last", action="store_true", help="UNets and VAEs so, too")
    parser.add_argument("--seconds", type=float, default=1.0, help="about so long per measurement")
    parser.add_argument("--json", type=Path, help="append one line per graph")
    return parser.parse_args()


def random_bundle(architecture: Architecture, manifest: BundleManifest, precision: str) -> Bundle:
    """Networks of these shapes on the device, with the weights that their libraries start from."""
    torch.manual_seed(0)  # the libraries' initialisers take no generator
    nets = {}
    for name, (build, _) in networks(architecture).items():
        with torch.device(CUDA):
            net = build()
        is_linear = isinstance(net, nn.Linear)
        nets[name] = net if is_linear else nn.Module.to(net, getattr(torch, precision))
    return bundle_of(manifest, architecture, nets).to(CUDA)


def _measure(
    bundle: Bundle, request: GraphRequest, shapes: Mapping[str, Tensor], seconds: float
) -> dict[str, Any]:
    module: Any = make_module(bundle, request.name)
    generator = torch.Generator(CUDA).manual_seed(0)
    feeds = {name: draw_like(name, x, generator) for name, x in shapes.items()}
    if request.name not in STEPS:  # a plain forward: as a step of one output
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
    return {
        "eager_ms": eager.p50_ms, "graph_ms": replayed.p50_ms,
        "activation_bytes": peak, "difference": difference,
        "finite": all(bool(x.isfinite().all()) for x in wanted),
    }  # fmt: skip


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
        "projected ms",
    ):
        table.add_column(column, justify="left" if column == "graph" else "right")
    for column in ("activations GiB", "difference", "finite"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row["graph"], row["layout"], f"{row['tflop']:.2f}",
            f"{row['eager_ms']:.1f}", f"{row['graph_ms']:.1f}",
            f"{1e3 * row['tflop'] / row['graph_ms']:.0f}", f"{row['projected_ms']:.1f}",
            f"{row['activation_bytes'] / 2**30:.2f}", f"{row['difference']:.0e}",
            "yes" if row["finite"] else "NO",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
