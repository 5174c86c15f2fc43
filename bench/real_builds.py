"""Can a graph of the public networks' size be built here? With random weights, nothing kept.

Each graph is tried in a process of its own. Of the networks only those that are in the graph get
memory, in the graph's precision; the recording follows shapes. What is measured goes into a file, a
JSON object a line; a graph that has its line is not tried again.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from xbind.config.backends import BackendName
from xbind.config.options import Precision
from xbind.engine.backends import version_of
from xbind.engine.ort import MODEL, OrtBackend
from xbind.errors import XBindError
from xbind.export.onnx_graph import Graph, lower, save
from xbind.export.parity import compare
from xbind.export.record import record
from xbind.export.trt_builder import build_plan
from xbind.importing.architectures import reduced, sd21
from xbind.importing.random_weights import write_shapes
from xbind.networks.build import dialect_of
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import (
    GraphRequest,
    graph_named,
    make_module,
    output_names,
    sample_inputs,
)
from xbind.networks.load import assemble, load_shapes
from xbind.networks.manifest import BundleManifest
from xbind.networks.precision import in_precision

SHAPES = {"sd21": sd21, "reduced": reduced}
"""Name → the shapes of all networks."""
MEASURED = ("onnxruntime", "tensorrt", "tensorrt-rtx")
"""Backends whose builds can be tried so."""
SHARE = 0.5
"""Noise level at which a graph is compared, as a share of the schedule."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A graph to try."""

    shapes: str
    """A key of `SHAPES`."""
    request: GraphRequest
    backend: BackendName
    precision: Precision
    targets: tuple[str, ...]
    compared: bool
    """True if ONNX Runtime's outputs are compared with torch's; takes minutes."""

    @property
    def key(self) -> dict[str, Any]:
        """Returns the key of a line of the file."""
        return {
            "shapes": self.shapes, "graph": self.request.label, "backend": self.backend,
            "precision": self.precision, "targets": list(self.targets), "compared": self.compared,
        }  # fmt: skip


def run_trials(
    trials: Sequence[Trial], file: Path, report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Try every graph that has no line yet; the lines of all, failures included."""
    rows = read_rows(file)
    for trial in trials:
        if any(is_about(row, trial) for row in rows):
            report(f"{trial.request.label}: is measured")
            continue
        report(f"{trial.request.label}: building")
        row = trial.key | _in_a_process(trial)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
        rows.append(row)
        report(f"{trial.request.label}: {said(row)}")
    return [row for row in rows if any(is_about(row, trial) for trial in trials)]


def is_about(row: Mapping[str, Any], trial: Trial) -> bool:
    """Returns True if a line of the file is a trial's."""
    return all(row.get(name) == value for name, value in trial.key.items())


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Lines of a file of measurements; none if it is not there yet.

    Raises:
        XBindError: a line is no JSON object.
    """
    if not file.is_file():
        return []
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise XBindError(
            f"{file} has a line that is no measurement ({error}).\n"
            f"Remove the line, or name another file."
        ) from error
    return rows


def said(row: Mapping[str, Any]) -> str:
    """A measurement in words."""
    if row["state"] != "built":
        return f"FAILED: {row['message']}"
    words = f"{row['seconds']:.0f} s, {row['peak_bytes'] / 2**30:.1f} GiB, "
    words += f"engine of {row['bytes'] / 2**20:,.0f} MiB"
    return words + "".join(f", {name} to {error:.0e}" for name, error in row["relative"].items())


def markdown(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table of measurements."""
    yield "| graph | precision | for | seconds | peak memory | engine | against torch |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        where = f"{row['backend']} {' '.join(row['targets'])}".strip()
        start = f"| `{row['graph']}` | {row['precision']} | {where} "
        if row["state"] != "built":
            yield f"{start}| **failed** | | | {row['message']} |"
            continue
        against = ", ".join(f"{k} {v:.0e}" for k, v in row["relative"].items()) or "not compared"
        yield (
            f"{start}| {row['seconds']:.0f} | {row['peak_bytes'] / 2**30:.1f} GiB "
            f"| {row['bytes'] / 2**20:,.0f} MiB | {against} |"
        )


def _in_a_process(trial: Trial) -> dict[str, Any]:
    """Its memory comes back, and its peak is its own."""
    words = json.dumps(asdict(trial))
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main()", words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return row
    if done.returncode < 0:
        return {"state": "failed", "message": f"killed by signal {-done.returncode} (memory?)"}
    last = (done.stderr.strip() or "it does not say why").splitlines()[-1]
    return {"state": "failed", "message": last}


def main() -> None:
    """Runs in a process of its own: a trial as JSON in, a measurement out."""
    raw = json.loads(sys.argv[-1])
    request, targets = GraphRequest(**raw.pop("request")), tuple(raw.pop("targets"))
    trial = Trial(request=request, targets=targets, **raw)
    try:
        row = try_graph(trial)
    except XBindError as error:
        row = {"state": "failed", "message": str(error).splitlines()[0]}
    sys.stdout.write(json.dumps(row) + "\n")


def try_graph(trial: Trial) -> dict[str, Any]:
    """Build one graph, and compare it where that is asked; what it took.

    Raises:
        EngineError: it cannot be exported or built.
    """
    torch.set_num_threads(1)
    started = time.monotonic()
    with TemporaryDirectory() as folder, torch.no_grad():
        manifest = write_shapes(Path(folder) / "shapes", SHAPES[trial.shapes]())
        module, graph = _graph_of(trial, manifest)
        wanted, feeds = _computed(trial, manifest, module) if trial.compared else ({}, {})
        del module
        out = Path(folder) / "engine"
        out.mkdir()
        if trial.backend == "onnxruntime":
            save(graph, out)
        else:
            build_plan(trial.backend, graph, out, targets=trial.targets)
        size = sum(path.stat().st_size for path in out.iterdir())
        spec = graph.spec
        del graph
        relative = {}
        if trial.compared:
            with OrtBackend(spec, out / MODEL, threads=1) as session:
                found = session.run(feeds)
            relative = {name: compare(name, wanted[name], found[name]).relative for name in wanted}
    return {
        "state": "built", "seconds": time.monotonic() - started, "bytes": size,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "relative": relative, "version": version_of(trial.backend), "torch": torch.__version__,
    }  # fmt: skip


def _graph_of(trial: Trial, manifest: BundleManifest) -> tuple[nn.Module, Graph]:
    """The graph with random weights in memory; activations are followed as shapes."""
    request, mode = trial.request, FakeTensorMode(allow_non_fake_inputs=True)
    shapes = load_shapes(manifest, mode)
    with mode:
        feeds = sample_inputs(shapes, request, SHARE, torch.Generator().manual_seed(0))
    bundle = _random(manifest, request.name, trial.precision)
    module = make_module(bundle, request.name, two_passes=request.two_passes)
    names = output_names(request.name, module)
    recording = record(module, feeds, names, shapes=mode)
    upcast = any(vars(part).get("upcast_attention", False) for part in module.modules())
    dialect = dialect_of(trial.backend, trial.precision)
    return module, lower(request.label, recording, dialect, upcast_attention=upcast)


def _random(manifest: BundleManifest, name: str, precision: Precision) -> Bundle:
    """Random weights for the networks of a graph, shapes for all others."""
    generator = torch.Generator().manual_seed(0)
    needed = [manifest.part(role) for role in graph_named(name).components]

    def fill(build: Callable[[], nn.Module], path: Path) -> nn.Module:
        with torch.device("meta"):
            net = build()
        if not any(path.is_relative_to(part) for part in needed):
            return net.eval().requires_grad_(False)
        # nn.Module's own `to`: that of diffusers warns of modules it would rather keep as they are.
        net = nn.Module.to(net.to_empty(device="cpu"), getattr(torch, precision))
        # position ids are buffers that no file holds
        for key, x in (dict(net.named_buffers()) | net.state_dict()).items():
            _fill_randomly(key, x, generator)
        return net.eval().requires_grad_(False)

    return in_precision(assemble(manifest, fill), precision)


def _fill_randomly(key: str, x: Tensor, generator: torch.Generator) -> None:
    """Normal numbers that keep the variance of what passes; norms near the identity."""
    if not x.is_floating_point():
        x.copy_(torch.arange(x.numel()).view_as(x))
    elif x.ndim < 2:
        x.normal_(0, 0.02, generator=generator)
        x.add_(1.0 if key.endswith("weight") else 0.0)
    else:
        x.normal_(0, (1 / x[0].numel()) ** 0.5, generator=generator)


def _computed(
    trial: Trial, manifest: BundleManifest, module: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns torch's outputs at this size, and the inputs."""
    generator = torch.Generator().manual_seed(1)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    shapes = load_shapes(manifest, mode)
    with mode:
        like = sample_inputs(shapes, trial.request, SHARE, torch.Generator().manual_seed(0))
    feeds = {name: draw_like(name, x, generator) for name, x in like.items()}
    returned = module(**feeds)
    outputs = (returned,) if isinstance(returned, Tensor) else returned
    names = output_names(trial.request.name, module)
    return {n: x.detach() for n, x in zip(names, outputs, strict=True)}, feeds


def draw_like(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers of a feed's kind: images in [0, 1], steps in the middle, the rest normal."""
    device = generator.device
    if not like.is_floating_point():
        return torch.full(like.shape, 500, dtype=like.dtype, device=device)
    if name == "image":
        return torch.rand(like.shape, generator=generator, device=device)
    if name in ("weight", "clamp", "cfg_scale", "w_img"):
        return torch.full(like.shape, 2.0, device=device)
    return torch.randn(like.shape, generator=generator, device=device)
