"""Time every guidance step in eager torch, torch.compile and each engine, all in one run.

    python bench/bench_engines.py [--only STEP …] [--engines NAME …] [--threads N] [--rounds N]
                                  [--json FILE]

Contestants take turns, in an order that is drawn anew for each round, so that what else the machine
does meets all of them alike: ratios within one run are what counts. A contestant whose loss or
gradient is not that of eager torch is not timed: the bench stops. `cpu` is the time that this
process computed, which other processes on the machine cannot stretch. torch.compile is given each
network of a step for itself, as one would use it; its compilation is not timed.
"""

import argparse
import copy
import json
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from timing import describe_commit, device_name
from torch import Tensor, nn

from xbind.building import build
from xbind.engine.open import open_backend, version_of
from xbind.engine.store import EngineStore
from xbind.export.parity import TOLERANCES, compare, gate
from xbind.frozen import Bundle, load_bundle
from xbind.graph_feeds import trial_feeds
from xbind.graphs import STEPS, GraphRequest, make_module, requests_of_run
from xbind.models.bundle import load_manifest
from xbind.presets import default

ENGINES = ("onnxruntime", "openvino")
Run = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contestant of one step: one line of JSON."""

    step: str
    form: str
    threads: int
    rounds: int
    p50_ms: float
    least_ms: float
    cpu_ms: float
    """Median of the process's own computing time."""
    gradient_cosine: float
    gradient_relative: float
    device: str
    versions: str
    commit: str


def main() -> None:
    """Build, compare, time, print."""
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    bundle = load_bundle(load_manifest(arguments.bundle))
    requests = [r for r in requests_of_run(default(), bundle.manifest) if r.name in STEPS]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for request in requests:
            if request.name in (arguments.only or STEPS):
                rows += _bench(bundle, request, EngineStore(Path(folder)), arguments)
    Console().print(_table(rows))
    if arguments.json is not None:
        with arguments.json.open("a") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--only", nargs="+", choices=STEPS)
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _bench(
    bundle: Bundle, request: GraphRequest, store: EngineStore, arguments: argparse.Namespace
) -> list[Row]:
    feeds = trial_feeds(bundle, request, 0.5, torch.Generator().manual_seed(0))
    module = make_module(bundle, request.name)
    forms: dict[str, Run] = {"eager": _call(module, feeds)}
    if not arguments.no_compile:
        forms["torch.compile"] = _call(_compiled(module), feeds)
    for name in arguments.engines:
        entry = build(store, bundle, request, name)
        engine = open_backend(entry, threads=arguments.threads)
        forms[f"{name} {version_of(name)}"] = lambda engine=engine: engine.run(feeds)
    wanted = forms["eager"]()
    figures = {}
    for form, run in forms.items():
        found = run()
        outputs = [compare(name, wanted[name], found[name]) for name in ("loss", "x_bar")]
        gate(request.label, form, outputs, TOLERANCES["float32"])
        figures[form] = outputs[1]
    times = _take_turns(forms, arguments.rounds)
    return [
        Row(
            step=request.label, form=form, threads=arguments.threads, rounds=arguments.rounds,
            p50_ms=median(wall for wall, _ in taken), least_ms=min(wall for wall, _ in taken),
            cpu_ms=median(cpu for _, cpu in taken), gradient_cosine=figures[form].cosine,
            gradient_relative=figures[form].relative, device=device_name(torch.device("cpu")),
            versions=f"torch {torch.__version__}", commit=describe_commit(),
        )
        for form, taken in times.items()
    ]  # fmt: skip


def _call(module: nn.Module, feeds: dict[str, Tensor]) -> Run:
    return lambda: dict(zip(module.outputs, module(**feeds), strict=True))


def _compiled(module: nn.Module) -> nn.Module:
    """A copy whose networks torch.compile has."""
    module = copy.deepcopy(module)
    for name in ("prior.unet", "vae.encoder", "vae.decoder", "encoder.clip"):
        try:
            module.get_submodule(name).compile(dynamic=False)
        except AttributeError:  # this step has no such network
            continue
    return module


def _take_turns(forms: dict[str, Run], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall and computing time of every call, in ms; the first call of each does not count."""
    order, times = list(forms), {form: [] for form in forms}
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
    names = ("step", "form", "median ms", "least ms", "cpu ms", "× eager (cpu)", "gradient cosine")
    table = Table(*names, box=None)
    for row in rows:
        eager = next(r for r in rows if r.step == row.step and r.form == "eager")
        table.add_row(
            row.step, row.form, f"{row.p50_ms:.1f}", f"{row.least_ms:.1f}", f"{row.cpu_ms:.1f}",
            f"{eager.cpu_ms / row.cpu_ms:.2f}", f"{row.gradient_cosine:.8f}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
