"""One run, from a prompt to its files; it can be interrupted and resumed at any iteration."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from xbind.conditioning.checks import check_files
from xbind.conditioning.prompt import EncodedPrompt, encode_prompt
from xbind.config.options import EngineChoice, FilesConfig, GenerateConfig
from xbind.config.presets import TRIALS, MethodConfig
from xbind.config.variants import change_rows, method_of
from xbind.networks.frozen import Bundle
from xbind.networks.loaded import LoadedNetworks
from xbind.networks.runtime import RunNetworks
from xbind.run.folder import RunFolder, resume_run, start_run
from xbind.run.networks import choose_networks, compile_networks
from xbind.run.outputs import provenance, write_outputs
from xbind.run.phase1 import Phase1, read_phase1
from xbind.run.preflight import check_generate
from xbind.run.progress import Reporter, format_bytes, format_seconds, peak_memory_bytes
from xbind.run.prompt_record import prompt_record, text_record
from xbind.run.reference import (
    agreement_in_words,
    make_reference,
    reference_files,
    save_reference,
)
from xbind.run.report import MeshFacts, write_report
from xbind.run.resuming import read_started, started_config, with_precision
from xbind.run.runner import Runner
from xbind.run.settings import check_resumed, choose_files, run_settings
from xbind.run.state import RunState, add_seconds
from xbind.run.unwrap_ahead import UnwrapAhead
from xbind.run.versions import other_versions, versions
from xbind.system.freed_memory import freed_memory_kept
from xbind.system.threads import torch_threads


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run left."""

    folder: Path
    """The run's folder."""
    outputs: tuple[Path, ...]
    """Mesh, turntable, report."""
    seconds: float
    """Wall time of this call."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A run whose settings are known to be possible."""

    config: GenerateConfig
    method: MethodConfig
    loaded: LoadedNetworks
    reporter: Reporter


def generate(
    config: GenerateConfig, reporter: Reporter, loaded: LoadedNetworks | None = None
) -> RunResult:
    """One prompt to one textured mesh: encode, choose the reference view, three phases, files.

    Args:
        config: the settings of the run.
        reporter: receives messages and progress.
        loaded: networks that several runs share, as from `load_networks`; of the bundle, 3D prior
            and device that `config` names. By default the run loads its own.

    Raises:
        XBindError: anything the user can act on; what was written so far stays.
    """
    check_generate(config)
    with torch_threads(config.threads), freed_memory_kept():
        return _generate(config, reporter, loaded)


def _generate(
    config: GenerateConfig, reporter: Reporter, loaded: LoadedNetworks | None
) -> RunResult:
    started = time.monotonic()
    if config.resume and not config.prompt.given():
        config = replace(config, prompt=started_config(config.out).prompt)
    method = method_of(config)
    loaded = choose_networks(config, method, loaded, reporter.message)
    config = with_precision(config, loaded.device.type)
    job = _Job(config, method, loaded, reporter)
    settings = run_settings(config, method, loaded.manifest, loaded.device.type)
    for name, value in change_rows(settings):
        reporter.message(f"changed from preset {config.preset!r}: {name} {value}")
    if "image_term" in settings:
        reporter.message(f"image term: {settings['image_term']}")
    if "lighting" in settings:
        reporter.message(f"light: {settings['lighting']}")
    outputs = _resume(job, settings) if config.resume else _start(job, settings)
    seconds = time.monotonic() - started
    reporter.finished(outputs, seconds)
    return RunResult(config.out, tuple(outputs), seconds)


def _start(job: _Job, settings: dict[str, Any]) -> list[Path]:
    """A new run. The folder is touched last: what is refused must not cost the run that is there.

    Args:
        job: the run.
        settings: as `run_settings` returns them.
    """
    config, reporter = job.config, job.reporter
    check_files(config.prompt)
    bundle = job.loaded.on_cpu()
    source: EncodedPrompt | Phase1
    if config.from_phase1 is None:
        source = _encode(config, bundle)
        settings |= prompt_record(source)
    else:
        source = read_phase1(config.from_phase1, settings)
        settings |= source.prompt_record() | {"phase1_sha256": source.digest}
    settings |= text_record(config.prompt, bundle, reporter.message)
    networks = _compile(job, config.engine)
    engine = config.engine if config.reference_only else networks.backend
    files = choose_files(config, {})
    settings |= {"engine": engine, "files": dataclasses.asdict(files)}
    settings |= {"versions": versions(networks.backend)}
    with start_run(config.out, settings, overwrite=config.overwrite) as folder:
        _pass_on(folder.warnings, reporter)
        runner = _begin(job, networks, folder, source)
        if not config.reference_only:
            return _finish(job, networks, runner, files)
        replaced = "--reference-only" + (" and --overwrite" if config.overwrite else "")
        reporter.message(f"Make the object with the same command, --resume for {replaced}.")
        return reference_files(folder)


def _resume(job: _Job, settings: Mapping[str, Any]) -> list[Path]:
    """A run that was started before, from its newest checkpoint, or from its start without one.

    Args:
        job: the run.
        settings: as `run_settings` returns them.
    """
    config = job.config
    found = read_started(config.out)
    engine = check_resumed(config, found, settings)
    bundle = job.loaded.on_cpu()
    with resume_run(config.out) as folder:
        _pass_on(folder.warnings, job.reporter)
        files = choose_files(config, found["files"])
        checkpoint = folder.load_checkpoint()
        source: EncodedPrompt | Phase1 | None = None
        if checkpoint is None:
            from_phase1 = config.from_phase1
            source = read_phase1(from_phase1, found) if from_phase1 else _encode(config, bundle)
        networks = _compile(job, engine)
        _pass_on(other_versions(found["versions"], networks.backend), job.reporter)
        settled: dict[str, Any] = {"files": dataclasses.asdict(files)}
        if found["engine"] == "auto":  # the run stopped at its reference view
            settled["engine"] = networks.backend
        if found | settled != found:
            folder.settle(**settled)
        if source is not None:
            return _finish(job, networks, _begin(job, networks, folder, source), files)
        assert checkpoint is not None
        _pass_on(checkpoint.warnings, job.reporter)
        state = RunState.from_record(checkpoint.state, job.loaded.device)
        runner = Runner(job.method, folder, job.reporter, state)
        return _finish(job, networks, runner, files)


def _begin(
    job: _Job, networks: RunNetworks, folder: RunFolder, source: EncodedPrompt | Phase1
) -> Runner:
    """The first stage of a run, or that of another run with its Phase I; ends with a checkpoint."""
    if isinstance(source, Phase1):
        state = source.state
        _pass_on(source.warnings, job.reporter)
        for event in source.events:
            folder.events.append(event)
        if state.condition.stereo is not None:
            save_reference(state.condition, folder)
        job.reporter.message(f"Phase I is that of {source.run}")
    else:
        started = time.monotonic()
        generator = torch.Generator(job.loaded.device).manual_seed(job.config.seed)
        condition = make_reference(
            source, job.method, networks, generator, folder, job.reporter,
            candidate=job.config.candidate,
        )  # fmt: skip
        state = RunState(condition, generator)
        add_seconds(state.seconds, "reference", started)
    runner = Runner(job.method, folder, job.reporter, state)
    runner.save()
    return runner


def _finish(job: _Job, networks: RunNetworks, runner: Runner, files: FilesConfig) -> list[Path]:
    """Algorithm 1, then mesh, turntable and report."""
    config, reporter, folder = job.config, job.reporter, runner.folder
    with UnwrapAhead(job.method.texture, config.threads) as ahead:
        textured = runner.optimise(networks, config.seed, ahead.phase_started)
        started, seconds = time.monotonic(), runner.state.seconds
        unwrapped = ahead.result(textured.mesh)
    textured = textured.to("cpu")  # where the libraries that unwrap and write compute
    about = provenance(config, job.loaded.manifest.name)
    outputs = write_outputs(
        folder.path, textured.mesh, textured.appearance, job.method, files, about, unwrapped
    )
    add_seconds(seconds, "files", started)
    took = [f"{stage} {format_seconds(s)}" for stage, s in seconds.items()]
    if job.loaded.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(job.loaded.device)
        took.append(f"{format_bytes(peak)} of GPU memory")
    reporter.message(" · ".join(took))
    facts = MeshFacts.of(textured.mesh, job.method.texture.texture_px)
    report = write_report(
        folder.path, folder.read_config(), seconds, facts, peak_memory_bytes(),
        agreement=agreement_in_words(runner.state.condition),
    )  # fmt: skip
    if config.preset.partition(":")[0] in TRIALS:
        reporter.message(
            f"Preset {config.preset!r} only checks that everything runs: its object means "
            f"nothing. For a quick look at a prompt use --reference-only."
        )
    return [*outputs, report]


def _pass_on(warnings: Sequence[str], reporter: Reporter) -> None:
    for warning in warnings:
        reporter.message(warning)


def _compile(job: _Job, engine: EngineChoice) -> RunNetworks:
    return compile_networks(job.config, job.method, job.loaded, engine, job.reporter.message)


def _encode(config: GenerateConfig, bundle: Bundle) -> EncodedPrompt:
    unclip = bundle.unclip
    return encode_prompt(
        config.prompt, bundle.bind, unclip.image_size, view=bundle.view,
        text_encoder=unclip.text_encoder,
    )  # fmt: skip
