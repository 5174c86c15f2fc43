"""Algorithm 1 from a prompt to files, resumable at any iteration."""

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xbind.algorithm.iteration import Phase, advance, restore_phase, save_phase
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.phase2_geometry import GeometryPhase, convert
from xbind.algorithm.phase3_texture import TexturePhase
from xbind.algorithm.supervision import Condition, Supervision, make_condition
from xbind.algorithm.texture_init import fit_texture_field
from xbind.conditioning.checks import check_files
from xbind.conditioning.contact_sheet import contact_sheet
from xbind.conditioning.prompt import EncodedPrompt, encode_prompt, read_prompt
from xbind.config.options import (
    EngineChoice,
    FilesConfig,
    GenerateConfig,
    PromptConfig,
    parts_named,
    precision_for,
)
from xbind.config.presets import TRIALS, MethodConfig
from xbind.config.savings import Savings
from xbind.config.variants import method_named
from xbind.errors import XBindError
from xbind.networks.frozen import Bundle
from xbind.networks.graphs import PARTS, has_image_term, requests_of_parts
from xbind.networks.loaded import LoadedNetworks
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.networks.runtime import FrozenHalf, Part
from xbind.networks.select import runs_in_engines
from xbind.run.checks import RunError, read_run_config
from xbind.run.folder import RunFolder, open_run
from xbind.run.outputs import DEFAULTS, provenance, write_outputs
from xbind.run.phase1 import Phase1, read_phase1
from xbind.run.preflight import check_generate
from xbind.run.progress import (
    Reporter,
    StepRecord,
    format_bytes,
    format_seconds,
    peak_memory_bytes,
)
from xbind.run.report import MeshFacts, write_report
from xbind.run.resuming import read_started, started_config
from xbind.scene.mesh.dmtet import DMTet
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.nerf.field import HashField
from xbind.system.cache import cache_notice
from xbind.system.device import choose_device


class NoReferenceView(XBindError):
    """`--reference-only` with a method that has no reference view."""


class ResumeMismatch(XBindError):
    """A run is resumed with other settings than it was started with."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run left."""

    folder: Path
    """The run's folder."""
    outputs: tuple[Path, ...]
    """Mesh, turntable, report."""
    seconds: float
    """Wall time of this call."""


class LoadedMismatch(XBindError):
    """A run is given networks of another bundle, 3D prior or device than its settings name."""


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
    started = time.monotonic()
    check_generate(config)
    found = read_started(config.out) if config.resume else {}
    if config.resume and not config.prompt.given():
        config = replace(config, prompt=started_config(config.out).prompt)
    method = method_named(config.preset, parts_named(config.without), config.phase2_loss)
    if config.reference_only and not method.uses_reference:
        raise NoReferenceView(
            f"--reference-only: preset {config.preset!r} as it is asked for has no reference view."
            f"\nLeave out --reference-only or --without, or choose another --preset."
        )
    device = choose_device(config.device)
    if device.type == "cuda":
        reporter.message(f"on {torch.cuda.get_device_name(device)}")
    precision = config.precision
    if config.resume and precision == "auto":  # as the run was started
        precision = found.get("precision", precision)
    config = replace(config, precision=precision_for(precision, device.type))
    manifest = load_manifest(config.bundle).with_prior_3d(config.prior_3d or method.prior_3d)
    if loaded is None:
        loaded = LoadedNetworks(manifest, device)
    else:
        _check_loaded(loaded, manifest, device)
    if manifest.raw.get("weights") == "random":
        reporter.message(
            f"The weights of bundle {manifest.name!r} are random: what comes out means nothing."
        )
    wanted = _run_config(config, method, manifest) | {"device": device.type}
    started_with = found["engine"] if config.resume else config.engine
    choice = started_with if config.engine == "auto" else config.engine
    if config.resume:
        if started_with == "auto":  # stopped at the reference view: no guidance has run yet
            found["engine"] = choice
        _check_same(found, wanted | {"engine": choice})
    else:
        check_files(config.prompt)
    if (notice := cache_notice()) is not None:
        reporter.message(notice)
    bundle = loaded.bundle
    wanted |= _decoding(method, bundle)
    if "image_term" in wanted:
        reporter.message(f"image term: {wanted['image_term']}")
    prompt, compiled, phase1 = None, None, None
    if not config.resume:
        # before the folder is touched: a prompt that is refused must not cost the run that is there
        if config.from_phase1 is None:
            prompt = _encode(config, bundle)
        else:
            phase1 = read_phase1(config.from_phase1, wanted)
        wanted |= _reading(config, bundle, reporter)
        compiled = _compile(config, choice, method, loaded, reporter)
    with open_run(config.out, resume=config.resume, overwrite=config.overwrite) as folder:
        for warning in folder.warnings:
            reporter.message(warning)
        if compiled is None:
            files = _files(config, found["files"])
            compiled = _compile(config, choice, method, loaded, reporter)
            settled: dict[str, Any] = {"files": dataclasses.asdict(files)}
            if started_with == "auto":
                settled["engine"] = compiled.backend
            if found | settled != found or started_with == "auto":
                folder.write_config(found | settled)
        else:
            engine = config.engine if config.reference_only else compiled.backend
            files = _files(config, {})
            record = wanted | {"engine": engine, "files": dataclasses.asdict(files)}
            record |= _understood(prompt, phase1)
            folder.write_config(record | _foreground(prompt))
        run = _Run(config, method, compiled, folder, reporter, prompt or phase1, device, files)
        if config.reference_only:
            outputs = run.reference_files()
            replaced = "--reference-only" + (" and --overwrite" if config.overwrite else "")
            reporter.message(f"Make the object with the same command, --resume for {replaced}.")
        else:
            outputs = run.finish()
            if config.preset.partition(":")[0] in TRIALS:
                reporter.message(
                    f"Preset {config.preset!r} only checks that everything runs: its object means "
                    f"nothing. For a quick look at a prompt use --reference-only."
                )
    seconds = time.monotonic() - started
    reporter.finished(outputs, seconds)
    return RunResult(config.out, tuple(outputs), seconds)


def _check_loaded(loaded: LoadedNetworks, manifest: BundleManifest, device: torch.device) -> None:
    """Refuse networks that are not those of the settings.

    Raises:
        LoadedMismatch: says what differs.
    """
    for what, has, wanted in (
        ("bundle", loaded.manifest.name, manifest.name),
        ("content of the bundle", loaded.manifest.digest, manifest.digest),
        ("3D prior", loaded.manifest.component_3d, manifest.component_3d),
        ("device", loaded.device.type, device.type),
    ):
        if has != wanted:
            raise LoadedMismatch(
                f"The {what} of this run is not the one that was loaded.\n"
                f"  loaded:    {has}\n  this run:  {wanted}\n"
                f"Load the networks that this run wants, or change its settings."
            )


def _understood(prompt: EncodedPrompt | None, phase1: Phase1 | None) -> dict[str, Any]:
    """What the prompt was understood as, for `config.json`; nothing if the bundle names nothing."""
    if prompt is not None:
        record = {reading.source: reading.record() for reading in prompt.understood}
    else:
        record = {} if phase1 is None else read_run_config(phase1.run).get("understood", {})
    return {"understood": record} if record else {}


def _decoding(method: MethodConfig, bundle: Bundle) -> dict[str, str]:
    """What decodes x̂, of a method that would have TAESD do it."""
    if not any(p.guidance.decoder == "tiny" and has_image_term(p) for p in method.phases):
        return {}
    lacking = "the priors' own VAEs; this bundle has no TAESD (xbind bundle import --taesd)"
    return {"image_term": lacking if bundle.taesd is None else "x̂ by TAESD"}


def _compile(
    config: GenerateConfig,
    choice: EngineChoice,
    method: MethodConfig,
    loaded: LoadedNetworks,
    reporter: Reporter,
) -> FrozenHalf:
    """What the frozen networks run in, with the savings that `--vram` asks for."""
    savings = _savings(config, choice, method, loaded, reporter)
    samples = config.prompt.image is None and config.from_phase1 is None
    parts = {
        name: Part(
            requests_of_parts(method, loaded.manifest, own, samples_reference=samples)[name], own
        )
        for name, own in savings.items()
        if name == "reference" or not config.reference_only
    }
    keep = None if config.vram is None else False
    return loaded.compile(
        choice, parts, threads=config.threads, report=reporter.message, keep_engines=keep
    )


def _savings(
    config: GenerateConfig,
    choice: EngineChoice,
    method: MethodConfig,
    loaded: LoadedNetworks,
    reporter: Reporter,
) -> dict[str, Savings]:
    """Part of the run → how its networks are run.

    Raises:
        DoesNotFit: not even with every saving into `--vram`.
    """
    precision = precision_for(config.precision, loaded.device.type)
    as_asked = dict.fromkeys(PARTS, Savings(precision=precision))
    if config.vram is None:
        return as_asked
    from xbind.memory.plan import Wish, fit

    wish = Wish(config.vram, precision, engines=runs_in_engines(choice, loaded.device))
    plan = fit(method, loaded.manifest, wish)
    for line in plan.summary():
        reporter.message(line)
    return as_asked | {part.name: part.savings for part in plan.parts}


def _encode(config: GenerateConfig, bundle: Bundle) -> EncodedPrompt:
    return encode_prompt(config.prompt, bundle.bind, bundle.unclip.image_size, view=bundle.view)


def _foreground(prompt: EncodedPrompt | None) -> dict[str, Any]:
    """How the object of the prompt's picture was found, for `config.json`."""
    if prompt is None or prompt.foreground is None:
        return {}
    return {"foreground": prompt.foreground.record()}


def _pose_origin(prompt: EncodedPrompt, bundle: Bundle) -> str:
    """Where the two angles of a picture's pose come from, for a message."""
    given = (prompt.elevation_deg is not None, prompt.azimuth_deg is not None)
    if prompt.image is None or all(given):
        return " (given)" if all(given) else ""
    missing = " and ".join(
        flag for flag, known in zip(("--elevation", "--azimuth"), given, strict=True) if not known
    )
    if bundle.view is not None:
        return f" (without {missing}, that angle was estimated)" if any(given) else ""
    return f" (this bundle has no pose network, so 0° is assumed; {missing} would set it)"


def _reading(config: GenerateConfig, bundle: Bundle, reporter: Reporter) -> dict[str, Any]:
    """What the text was read as, which is also printed; nothing for an open vocabulary."""
    text = read_prompt(config.prompt, bundle.bind)
    if text is None or text.reading is None:
        return {}
    for line in text.reading.messages():
        reporter.message(line)
    return {"reading": text.reading.plain()}


def _run_config(
    config: GenerateConfig, method: MethodConfig, manifest: BundleManifest
) -> dict[str, Any]:
    """What `config.json` holds: all that decides the result."""
    phase1 = config.from_phase1
    return {
        "prompt": _described(config.prompt),
        "seed": config.seed,
        "preset": config.preset,
        "without": list(parts_named(config.without)),
        "phase2_loss": config.phase2_loss,
        "from_phase1": None if phase1 is None else str(phase1.resolve()),
        "bundle": config.bundle,
        "bundle_sha256": manifest.digest,
        "prior_3d": manifest.chosen_3d,
        "precision": config.precision,
        "vram": config.vram,
        "method": _set(json.loads(json.dumps(dataclasses.asdict(method)))),  # tuples are lists
    }


def _files(config: GenerateConfig, found: Mapping[str, Any]) -> FilesConfig:
    """How the files are written: as asked for, else as the run was started, else the defaults.

    Raises:
        RunError: what the run was started with is damaged.
    """
    asked = {k: x for k, x in dataclasses.asdict(config.files).items() if x is not None}
    try:
        return dataclasses.replace(DEFAULTS, **{**found, **asked})
    except (TypeError, ValueError) as error:
        raise RunError(
            f"{config.out / 'config.json'} is damaged: its 'files' are {found!r} ({error}).\n"
            f"Start the run again with --overwrite, or in another folder with --out."
        ) from error


def _set(numbers: dict[str, Any]) -> dict[str, Any]:
    """Without what is not set: a run goes on with a version that knows more settings."""
    return {k: _set(x) if isinstance(x, dict) else x for k, x in numbers.items() if x is not None}


def _described(prompt: PromptConfig) -> dict[str, Any]:
    """The prompt as plain data, files by path."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(prompt).items()}


def _check_same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to continue a run under other settings.

    Raises:
        ResumeMismatch: names the first setting that differs.
    """
    for key in (
        *("prompt", "seed", "preset", "without", "phase2_loss", "from_phase1"),
        *("bundle_sha256", "prior_3d", "device", "engine", "precision", "vram"),
    ):
        if found.get(key) != wanted[key]:
            raise ResumeMismatch(
                f"--resume continues the run as it was started, but {key} differs.\n"
                f"  started with: {found.get(key)}\n  asked for:    {wanted[key]}\n"
                f"Leave out what the run was started with, or start again with --overwrite."
            )
    if found.get("method") != wanted["method"]:
        raise ResumeMismatch(
            f"--resume continues the run as it was started, but the numbers of preset "
            f"{wanted['preset']!r} have changed since, with the version of xbind.\n"
            f"Continue with the version that started it, or start anew with --overwrite."
        )


class _Run:
    """The state of one run: where it stands, and how to write that down."""

    def __init__(
        self,
        config: GenerateConfig,
        method: MethodConfig,
        compiled: FrozenHalf,
        folder: RunFolder,
        reporter: Reporter,
        start: EncodedPrompt | Phase1 | None,
        device: torch.device,
        files: FilesConfig,
    ) -> None:
        self.device, self.files = device, files
        self.config, self.method, self.compiled = config, method, compiled
        self.folder, self.reporter = folder, reporter
        self.generator = self._generator(0)
        self.done = 0
        self.condition: Condition
        self.seconds: dict[str, float] = {}
        checkpoint = folder.load_checkpoint() if config.resume else None
        if config.resume and checkpoint is None and config.from_phase1 is not None:
            start = read_phase1(config.from_phase1, folder.read_config())
        self.saved: dict[str, Any] = {}
        if checkpoint is not None:
            for warning in checkpoint.warnings:
                reporter.message(warning)
            self.saved, self.done = checkpoint.state, checkpoint.step
            self._restore()
        elif isinstance(start, Phase1):
            self.saved, self.done = start.checkpoint(), method.coarse.steps
            self._restore()
            for event in start.events():
                folder.events.append(event)
            if self.condition.stereo is not None:
                folder.save_image("reference.png", self.condition.reference.image[0])
            reporter.message(f"Phase I is that of {start.run}")
            self._save()
        else:
            with self._timed("reference"):
                prompt = start or _encode(config, compiled.bundle)
                self.condition = self._make_condition(prompt.to(device))
            self._save()
        self.supervision = Supervision(compiled.bundle, self.condition, compiled.step)

    def _restore(self) -> None:
        """Stand where `self.saved` was saved."""
        self.condition = Condition.from_state(self.saved["condition"], self.device)
        self.generator.set_state(self.saved["generator"])
        self.seconds = self.saved["seconds"]

    def _make_condition(self, prompt: EncodedPrompt) -> Condition:
        for warning in prompt.warnings:
            self.reporter.message(warning)
        for reading in prompt.understood:
            self.reporter.message(reading.line())
        if not prompt.understood:
            self.reporter.message(
                "This bundle brings no list of names (`names` in bundle.json): what the prompt is "
                "understood as is not shown."
            )
        if prompt.foreground is not None:
            self.folder.save_image("mask.png", prompt.foreground.mask.expand(3, -1, -1))
        condition = make_condition(
            prompt, self.compiled.bundle, self.method.reference, self.generator,
            stereo=self.method.uses_reference, savings=self.compiled.savings,
            show=self._sheet,
        )  # fmt: skip
        if condition.stereo is None:
            return condition
        camera = condition.reference.camera
        self.reporter.message(
            f"reference view at elevation {float(camera.elevation_deg):.0f}°, "
            f"azimuth {float(camera.azimuth_deg):.0f}°"
            f"{_pose_origin(prompt, self.compiled.bundle)}"
        )
        self.reporter.preview(self.folder.save_image("reference.png", condition.reference.image[0]))
        return condition

    def _sheet(self, images: Tensor, chosen: int) -> None:
        self.folder.save_image("references.png", contact_sheet(images, chosen))

    def reference_files(self) -> list[Path]:
        """The reference view, and the samples that it was chosen from, if any."""
        paths = [self.folder.path / name for name in ("reference.png", "references.png")]
        return [path for path in paths if path.exists()]

    def finish(self) -> list[Path]:
        """All phases from where the run stands, then the files."""
        method = self.method
        coarse = CoarsePhase(method.coarse, self.supervision, self._generator(method.coarse.stream))
        self._optimise(coarse, first=0)
        first = coarse.steps
        geometry = self._geometry(coarse)
        self._optimise(geometry, first=first)
        first += geometry.steps
        mesh = geometry.result()
        texture = TexturePhase(
            method.texture, self.supervision, mesh, self._texture_field(coarse.field, mesh)
        )
        self._optimise(texture, first=first)
        with self._timed("files"):  # on the CPU, as the libraries that unwrap and write are
            mesh = mesh.to("cpu")
            texture.field.to("cpu")
            about = provenance(self.config, self.compiled.bundle.manifest.name)
            outputs = write_outputs(
                self.folder.path, mesh, texture.colour_at, method, self.files, about
            )
        parts = [f"{part} {format_seconds(took)}" for part, took in self.seconds.items()]
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self.device)
            parts.append(f"{format_bytes(peak)} of GPU memory")
        self.reporter.message(" · ".join(parts))
        return [*outputs, self._report(mesh)]

    def _report(self, mesh: Mesh) -> Path:
        facts = MeshFacts(
            vertices=len(mesh.vertices),
            faces=len(mesh.faces),
            volume=float(mesh.volume()),
            texture_px=self.method.texture.texture_px,
        )
        return write_report(
            self.folder.path, self.folder.read_config(), self.seconds, facts, peak_memory_bytes()
        )

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        """Add the wall time of a part of the run, over all its sittings."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - started

    def _generator(self, stream: int) -> torch.Generator:
        """0 for the run. Initial weights have streams of their own: a resumed run need not redraw.

        It draws on the run's device, and what it draws lives there.
        """
        return torch.Generator(self.device).manual_seed(self.config.seed + stream)

    def _geometry(self, coarse: CoarsePhase) -> GeometryPhase:
        """Phase II, from the NeRF or from a checkpoint of a later moment."""
        config = self.method.geometry
        if "geometry" in self.saved:
            dmtet = DMTet.from_state(self.saved["geometry"]["module"]).to(self.device)
        else:
            dmtet = convert(
                coarse.field, self.method.coarse.threshold, config.resolution, config.conversion
            )
        return GeometryPhase(config, self.supervision, dmtet)

    def _texture_field(self, coarse: HashField, mesh: Mesh) -> HashField:
        """Phase III's field as it starts; a resumed phase overwrites its weights."""
        config = self.method.texture
        generator = self._generator(config.stream)
        if "texture" in self.saved:
            return HashField(config.field, generator=generator)
        return fit_texture_field(config.field, config.fit, coarse, mesh, generator)

    def _optimise(self, phase: Phase, *, first: int) -> None:
        """Run a phase from where it stands; checkpoints, previews and records on the way."""
        start = min(max(self.done - first, 0), phase.steps)
        if phase.name in self.saved:
            restore_phase(phase, self.saved[phase.name])
        if start == phase.steps and phase.name in self.saved:
            return
        if phase.steps == 0:
            return
        self.compiled.begin(phase.name)
        self.reporter.phase_started(phase.name, phase.steps, start)
        for step in range(start, phase.steps):
            with self._timed(phase.name):
                terms = advance(phase, step, self.generator)
            self.done = first + step + 1
            record = StepRecord(phase=phase.name, step=step + 1, terms=terms)
            self.folder.events.append({"phase": phase.name, "step": step + 1, **terms})
            self.reporter.step(record)
            last = step + 1 == phase.steps
            if (step + 1) % self.method.preview_every == 0 or last:
                name = f"previews/{phase.name}_{step + 1:05d}.png"
                self.reporter.preview(self.folder.save_image(name, phase.preview()))
            if (step + 1) % self.method.checkpoint_every == 0 or last:
                # the generator's state too, so that another run can go on from a phase's end
                state = {"generator": self.generator.get_state()}
                self.saved[phase.name] = save_phase(phase) | state
                self._save()

    def _save(self) -> None:
        self.saved["condition"] = self.condition.state()
        self.saved["generator"] = self.generator.get_state()
        self.saved["seconds"] = dict(self.seconds)
        self.folder.save_checkpoint(self.done, self.saved)
