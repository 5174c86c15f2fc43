"""Time every graph of a run in eager torch, torch.compile and each engine, all in one run.

    python bench/bench_engines.py [--all] [--only GRAPH …] [--engines NAME …] [--precision NAME …]
                                  [--threads N] [--rounds N] [--json FILE]

Variants take turns, in an order that is drawn for each round, so that what else the machine
does meets all of them alike: ratios within one run are what counts. Each engine has passed its
parity gate, at three noise levels; in half, one that has not is said and left out. `cpu` is the
time that this process computed, which other processes on the machine cannot stretch. torch.compile
is given each network of a graph for itself, as one would use it; its compilation is not timed.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from xbind.bench.timing import describe_commit, device_name
from xbind.bench.variants import compiled_copy
from xbind.config.backends import BackendName
from xbind.config.options import Precision
from xbind.config.presets import default
from xbind.engine.backend import Backend
from xbind.engine.backends import open_backend, version_of
from xbind.engine.errors import BackendUnavailable, ParityError
from xbind.engine.store import EngineStore
from xbind.export.parity import compare
from xbind.networks.build import build
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import (
    GraphRequest,
    all_requests,
    make_module,
    output_names,
    requests_of_run,
    sample_inputs,
)
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest

ENGINES = ("onnxruntime", "openvino")
PRECISIONS = ("float32", "bfloat16")
Run = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Record of one variant of one graph: a line of JSON."""

    graph: str
    form: str
    threads: int
    rounds: int
    p50_ms: float
    least_ms: float
    cpu_ms: float
    """Median of the process's own computing time."""
    cosine: float
    """To eager torch: of the gradient where there is one, else of the output."""
    relative: float
    """Error of the same."""
    device: str
    versions: str
    commit: str


def main() -> None:
    """Build, compare, time, print."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    bundle = load_bundle(load_manifest(arguments.bundle))
    every = arguments.all or arguments.only is not None
    requests = (all_requests if every else requests_of_run)(default(), bundle.manifest)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for request in requests:
            if request.name in (arguments.only or [request.name]):
                rows += _bench(bundle, request, EngineStore(Path(folder)), arguments)
    Console().print(_table(rows))
    if arguments.json is not None:
        with arguments.json.open("a") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--all", action="store_true", help="also what a run does not use")
    parser.add_argument("--only", nargs="+", metavar="GRAPH", help="names such as sds2d cds2d")
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["float32"])
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _bench(
    bundle: Bundle, request: GraphRequest, store: EngineStore, arguments: argparse.Namespace
) -> list[Row]:
    feeds = sample_inputs(bundle, request, 0.5, torch.Generator().manual_seed(0))
    module = make_module(bundle, request.name)
    names = output_names(request.name, module)
    forms: dict[str, Run] = {"eager": _call(module, names, feeds)}
    if not arguments.no_compile:
        forms["torch.compile"] = _call(compiled_copy(module), names, feeds)
    for name in arguments.engines:
        for precision in arguments.precision:
            engine = _engine(store, bundle, request, name, precision, arguments.threads)
            if engine is not None:
                form = f"{name} {version_of(name).split('-')[0]} {precision}"
                forms[form] = partial(engine.run, feeds)
    judged = "x_bar" if "x_bar" in names else names[0]
    wanted = forms["eager"]()[judged]
    figures = {form: compare(judged, wanted, run()[judged]) for form, run in forms.items()}
    times = _take_turns(forms, arguments.rounds)
    return [
        Row(
            graph=request.label, form=form, threads=arguments.threads, rounds=arguments.rounds,
            p50_ms=median(wall for wall, _ in taken), least_ms=min(wall for wall, _ in taken),
            cpu_ms=median(cpu for _, cpu in taken), cosine=figures[form].cosine,
            relative=figures[form].relative, device=device_name(torch.device("cpu")),
            versions=f"torch {torch.__version__}", commit=describe_commit(),
        )
        for form, taken in times.items()
    ]  # fmt: skip


def _engine(
    store: EngineStore, bundle: Bundle, request: GraphRequest, name: BackendName,
    precision: Precision, threads: int,
) -> Backend | None:  # fmt: skip
    """An engine that has passed its gate; None where half is refused, which is said."""
    try:
        entry = build(store, bundle, request, name, precision=precision)
    except (ParityError, BackendUnavailable) as error:
        if precision == "float32":
            raise
        Console().print(str(error).splitlines()[0], style="yellow", highlight=False)
        return None
    return open_backend(entry, threads=threads)


def _call(module: nn.Module, names: tuple[str, ...], feeds: dict[str, Tensor]) -> Run:
    def run() -> dict[str, Tensor]:
        with torch.no_grad():
            returned = module(**feeds)
        results = (returned,) if isinstance(returned, Tensor) else returned
        return dict(zip(names, results, strict=True))

    return run


def _take_turns(forms: dict[str, Run], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and computing time of every call, in ms; the first call of each does not count."""
    order = list(forms)
    times: dict[str, list[tuple[float, float]]] = {form: [] for form in forms}
    draw = random.Random(0)
    for turn in range(rounds + 1):
        draw.shuffle(order)
        for form in order:
            wall, cpu = time.perf_counter(), time.process_time()
            forms[form]()
            taken = (time.perf_counter() - wall, time.process_time() - cpu)
            if turn > 0:
                times[form].append((1e3 * taken[0], 1e3 * taken[1]))
    return times


def _table(rows: list[Row]) -> Table:
    names = ("graph", "form", "median ms", "least ms", "cpu ms", "× eager", "cosine", "error")
    table = Table(*names, box=None)
    for row in rows:
        eager = next(r for r in rows if r.graph == row.graph and r.form == "eager")
        table.add_row(
            row.graph, row.form, f"{row.p50_ms:.1f}", f"{row.least_ms:.1f}", f"{row.cpu_ms:.1f}",
            f"{eager.p50_ms / row.p50_ms:.2f}", f"{row.cosine:.8f}", f"{row.relative:.0e}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
