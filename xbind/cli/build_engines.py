"""`xbind-build-engines`: compile a bundle's frozen networks, gradients included, ahead of a run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import tyro

from xbind.cli.guard import guard, say
from xbind.cli.numbers import split_numbers, with_numbers
from xbind.config.backends import BACKENDS, BackendName, cross_builders
from xbind.config.options import (
    BuildChoice,
    Changes,
    ConfigPath,
    DeviceChoice,
    Precision,
    PrecisionChoice,
    check_device,
    precision_for,
)
from xbind.errors import XBindError

if TYPE_CHECKING:
    from xbind.networks.build_many import Job, Outcome
    from xbind.networks.manifest import BundleManifest

FAILED = 1
"""Exit status when an engine could not be built."""

# `Optional[...]`, because for `... | None` tyro imports a type checker: 0.1 s more for --help.
_List = Annotated[Optional[str], tyro.conf.arg(metavar="A,B")]  # noqa: UP045


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildConfig:
    """Compile the frozen networks of a bundle, gradients included, once per machine or GPU.

    What is built stays: run it again to go on after an interruption.
    """

    bundle: str = "mini"
    """`mini`, or the folder of a bundle."""
    preset: str = "default"
    """The preset whose view counts and sizes the graphs are for."""
    config: ConfigPath = None
    """As of `xbind generate`, as is `--method.NAME VALUE`."""
    method: Changes = field(default_factory=dict)
    """Changes of the preset's numbers: dotted name → value."""
    prior_2d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """The bundle's 2D prior to build for; by default the preset's, else the bundle's default."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """The bundle's 3D prior to build for; by default the preset's, else the bundle's default."""
    engine: BuildChoice = "auto"
    """What shall run them; `auto` is TensorRT-RTX with --target, else on a GPU the first of
    TensorRT, TensorRT-RTX and `onnxruntime-gpu` that is installed and builds for it, else the first
    of OpenVINO and ONNX Runtime that is installed."""
    device: DeviceChoice = "auto"
    """What they shall run on; `auto` takes CUDA if there is a device, and says which it took."""
    target: _List = None
    """GPU architectures to build for with TensorRT-RTX, such as sm86,sm89,sm120; needs no GPU."""
    precision: PrecisionChoice = "auto"
    """Of the frozen networks; losses, norms and softmax stay in float32. `auto` is float16 for a
    GPU and float32 for a CPU."""
    only: _List = None
    """Names of graphs to build, such as sds2d_img,ms; by default those that a run uses."""
    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also the graphs that a run with this preset does not use."""
    jobs: int = 1
    """Engines to build at a time; each takes the memory that --plan says."""
    plan: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Say what would be built, with size, time and memory; build nothing."""
    measure: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """Try whether graphs of the public networks' size can be built here, with random weights, and
    add seconds, memory and bytes to FILE, a JSON object a line. No engine is kept; a graph that is
    in FILE is not tried again."""
    shapes: Literal["sd21", "reduced"] = "sd21"
    """For --measure: the public networks' shapes, or as deep and a tenth as wide."""
    compare: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """For --measure with --engine onnxruntime: also compare with torch, in minutes for each."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"--jobs must be at least 1, got {self.jobs}")
        if self.compare and (self.measure is None or self.engine != "onnxruntime"):
            raise ValueError("--compare is for --measure FILE --engine onnxruntime")
        check_device(self.device)
        if self.compare and self.precision not in ("auto", "float32"):
            raise ValueError("--compare is for float32, which is what torch computes in")
        able = [r for r in cross_builders() if self.engine in ("auto", r.name)]
        if self.target is not None and not able:
            titles = " and ".join(record.title for record in cross_builders())
            raise ValueError(f"--target is for {titles} only, but --engine is {self.engine}")
        if self.target is not None and self.device == "cpu":
            raise ValueError("--target names GPUs: leave out --device cpu")
        unknown = [name for name in self.targets() if name not in able[0].targets]
        if unknown:
            raise ValueError(
                f"--target {','.join(unknown)} cannot be built for; "
                f"{able[0].title} builds for {', '.join(able[0].targets)}"
            )

    def precision_of(self, backend: BackendName) -> Precision:
        """The precision to build in for a backend."""
        return precision_for(self.precision, BACKENDS[backend].device)

    def targets(self) -> tuple[str, ...]:
        """`--target` as names, in order, each once."""
        names = (self.target or "").lower().replace(" ", "").split(",")
        return tuple(sorted({name for name in names if name}, key=lambda name: (len(name), name)))


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and build; exit status 0 all built, 1 some failed or refused, 2 wrong flags."""
    name, words = "xbind-build-engines", sys.argv[1:] if argv is None else argv

    def work() -> None:
        numbers, others = split_numbers(words, name)
        config = tyro.cli(BuildConfig, args=others, prog=name, description=BuildConfig.__doc__)
        sys.exit(build_engines(with_numbers(config, numbers, others, name)))

    guard(name, words, work, lambda: "; what was built stays.")


def build_engines(config: BuildConfig) -> int:
    """Plan, and build what is missing; the exit status.

    Raises:
        XBindError: the flags ask for what cannot be done here.
    """
    from xbind.engine.backends import check_precision, version_of
    from xbind.networks.manifest import load_manifest, verify
    from xbind.system.device import select_gpu

    backend, why = choose_backend(config)
    version_of(backend)
    precision = config.precision_of(backend)
    check_precision(backend, precision, config.targets())
    if config.device.startswith("cuda:"):
        select_gpu(config.device)
    say(f"{backend} in {precision}: {why}")
    if config.measure is not None:
        return _measure(config, config.measure, backend)
    manifest = load_manifest(config.bundle).with_priors(*_priors(config))
    verify(manifest)
    jobs = make_jobs(config, manifest, backend)
    missing = [job for job in jobs if not job.is_built(manifest)]
    _show_plan(jobs, missing, manifest)
    if config.plan or not missing:
        return 0
    return _build(missing, manifest, config.jobs)


def _measure(config: BuildConfig, file: Path, backend: BackendName) -> int:
    """Try every graph that is wanted, and print a table; the exit status."""
    from xbind.bench.real_builds import MEASURED, SHAPES, Trial, markdown, run_trials
    from xbind.importing.random_weights import write_shapes

    if backend not in MEASURED:
        raise XBindError(
            f"--measure does not try builds for {backend}.\nGive --engine {' or '.join(MEASURED)}."
        )
    if any(_priors(config)):
        raise XBindError(
            "--measure tries the default priors of the public networks' shapes.\n"
            "Leave out --prior-2d and --prior-3d."
        )
    with TemporaryDirectory() as folder:
        manifest = write_shapes(Path(folder) / config.shapes, SHAPES[config.shapes]())
        jobs = make_jobs(config, manifest, backend)
    rows = run_trials(
        [
            Trial(config.shapes, j.request, backend, j.precision, j.targets, config.compare)
            for j in jobs
        ],
        file,
        say,
    )
    for line in markdown(rows):
        say(line)
    return FAILED if any(row["state"] != "built" for row in rows) else 0


def choose_backend(config: BuildConfig) -> tuple[BackendName, str]:
    """Returns the backend that runs the graphs, and the reason.

    Raises:
        XBindError: `--device cuda` without a device, or no backend for the device.
    """
    import torch

    from xbind.engine.backends import able_backends

    cuda = torch.cuda.is_available()
    if config.engine != "auto":
        return config.engine, "asked for by --engine"
    if config.targets():
        return cross_builders()[0].name, "it builds for other GPUs than this machine's"
    if config.device.startswith("cuda") and not cuda:
        raise XBindError(
            f"--device {config.device} was asked for, but torch finds no CUDA device here.\n"
            "Name the GPUs to build for with --target, such as --target sm89, or give --device cpu."
        )
    if config.device == "cpu" or not cuda:
        return able_backends("cpu", [precision_for(config.precision, "cpu")])[0], "for this CPU"
    return able_backends("cuda", [precision_for(config.precision, "cuda")])[0], "for this GPU"


def make_jobs(config: BuildConfig, manifest: "BundleManifest", backend: BackendName) -> "list[Job]":
    """Returns one job per graph.

    Raises:
        XBindError: `--only` names what there is not.
    """
    from xbind.config.variants import method_named
    from xbind.engine.backends import portable_targets
    from xbind.engine.store import engines_folder
    from xbind.networks.build_many import Job
    from xbind.networks.graphs import all_requests, requests_of_run

    method = method_named(config.preset, changes=config.method)
    every = all_requests(method, manifest)
    wanted = every if config.all or config.only else requests_of_run(method, manifest)
    if config.only is not None:
        names = {name.strip() for name in config.only.split(",")}
        unknown = names - {request.name for request in every}
        if unknown:
            raise XBindError(
                f"There is no graph {', '.join(sorted(unknown))}.\n"
                f"Choose with --only: {', '.join(dict.fromkeys(r.name for r in every))}."
            )
        wanted = [request for request in every if request.name in names]
    store, precision = engines_folder(), config.precision_of(backend)
    targets = config.targets() or portable_targets(backend)
    gpu = config.device if config.device.startswith("cuda") else "cuda"
    return [
        Job(
            config.bundle, request, backend, precision, targets, store, *_priors(config), gpu,
        )
        for request in wanted
    ]  # fmt: skip


def _priors(config: BuildConfig) -> tuple[str | None, str | None]:
    """Names of the 2D and the 3D prior that are asked for; None for the bundle's default."""
    from xbind.config.variants import method_named, priors_of

    return priors_of(config, method_named(config.preset, changes=config.method))


def _show_plan(jobs: "list[Job]", missing: "list[Job]", manifest: "BundleManifest") -> None:
    from xbind.networks.build_many import estimate
    from xbind.run.progress import format_bytes, format_seconds

    for job in jobs:
        cost = estimate(job, manifest)
        state = (
            f"about {format_bytes(cost.disk_bytes)}, {format_seconds(cost.seconds)}, "
            f"{format_bytes(cost.memory_bytes)} of memory"
            if job in missing
            else "is built"
        )
        say(f"  {job.request.label:<22}{state}")
    costs = [estimate(job, manifest) for job in missing]
    say(
        f"{len(missing)} of {len(jobs)} engines to build"
        + (
            f": about {format_bytes(sum(c.disk_bytes for c in costs))} in {jobs[0].store}, "
            f"{format_seconds(sum(c.seconds for c in costs))} one after the other"
            if missing
            else f", all are in {jobs[0].store}"
        )
    )


def _build(missing: "list[Job]", manifest: "BundleManifest", workers: int) -> int:
    """Build, with a line for each that starts and ends and the time that is left."""
    from xbind.networks.build_many import estimate, run_jobs
    from xbind.run.progress import format_seconds

    expected = {job: estimate(job, manifest).seconds for job in missing}
    done: dict[Job, float] = {}

    def started(job: "Job") -> None:
        say(f"  {job.request.label}: building")

    def finished(outcome: "Outcome") -> None:
        done[outcome.job] = outcome.seconds
        pace = sum(done.values()) / sum(expected[job] for job in done)
        left = pace * sum(s for job, s in expected.items() if job not in done) / workers
        say(
            f"  {outcome.job.request.label}: {outcome.state} in {outcome.seconds:.1f} s, "
            f"{outcome.message}  [{len(done)}/{len(missing)}, {format_seconds(left)} left]"
        )

    outcomes = run_jobs(missing, workers=workers, started=started, finished=finished)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    say(f"{len(outcomes) - len(failed)} built, {len(failed)} failed")
    return FAILED if failed else 0
