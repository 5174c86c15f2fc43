"""The settings that decide a result: written to `config.json`, and compared on `--resume`."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xbind.config.options import EngineChoice, FilesConfig, GenerateConfig, parts_named
from xbind.config.presets import MethodConfig
from xbind.config.ranges import recorded
from xbind.config.variants import changes_of
from xbind.errors import XBindError
from xbind.networks.graphs import has_image_term
from xbind.networks.manifest import BundleManifest
from xbind.run.checks import CONFIG, DECIDING, RunError

DEFAULT_FILES = FilesConfig(material="unlit", pivot="base")
"""Default format of the mesh files."""


class ResumeMismatch(XBindError):
    """A run is resumed with other settings than it was started with."""


def run_settings(
    config: GenerateConfig, method: MethodConfig, manifest: BundleManifest, device: str
) -> dict[str, Any]:
    """The settings of a run as plain data, as they are known before its networks are loaded.

    Args:
        config: what the user asked for.
        method: the numbers of its preset.
        manifest: of its bundle, with the priors chosen.
        device: type of the device that computes, `cpu` or `cuda`.
    """
    phase1 = config.from_phase1
    prompt = dataclasses.asdict(config.prompt)
    used = manifest.with_view_words(method.uses_view_words)
    return (
        {
            "prompt": {k: str(v) if isinstance(v, Path) else v for k, v in prompt.items()},
            "seed": config.seed,
            "preset": config.preset,
            "without": list(parts_named(config.without)),
            "phase2_loss": config.phase2_loss,
            "from_phase1": None if phase1 is None else os.path.realpath(phase1),
            "bundle": config.bundle,
            "bundle_sha256": used.digest,
            "bundle_figures": used.deciding,
            "prior_2d": manifest.chosen_2d,
            "prior_3d": manifest.chosen_3d,
            "precision": config.precision,
            "vram": config.vram,
            "threads": config.threads,
            "device": device,
            "changes": changes_of(config),
            "method": recorded(method),
        }
        | _bundle_facts(method, manifest)
        | _candidate(config)
    )


def _bundle_facts(method: MethodConfig, manifest: BundleManifest) -> dict[str, Any]:
    """Returns what the bundle has of that which only some methods use."""
    return _image_term(method, manifest) | _view_words(method, manifest) | _light(method, manifest)


def _light(method: MethodConfig, manifest: BundleManifest) -> dict[str, Any]:
    """Returns the bundle's known light, which then decides, and where a method finds none."""
    if not method.uses_light:
        return {}
    if manifest.light is not None:
        return {"light": manifest.light.plain()}
    instead = "texture.pbr's sky" if method.texture.material == "pbr" else "none, colours alone"
    return {"lighting": f"{instead}; this bundle names no light"}


def _image_term(method: MethodConfig, manifest: BundleManifest) -> dict[str, str]:
    """Returns the decoder of x̂ for the report, if the method asks for TAESD."""
    if not any(p.guidance.decoder == "tiny" and has_image_term(p) for p in method.phases):
        return {}
    lacking = "the priors' own VAEs; this bundle has no TAESD (xbind bundle import --taesd)"
    return {"image_term": "x̂ by TAESD" if manifest.has("taesd") else lacking}


def _candidate(config: GenerateConfig) -> dict[str, int]:
    return {} if config.candidate is None else {"candidate": config.candidate}


def _view_words(method: MethodConfig, manifest: BundleManifest) -> dict[str, str]:
    """Returns the view words that the 2D prior receives, if the method asks for them."""
    if not method.uses_view_words:
        return {}
    lacking = "none; this bundle has no view words (xbind bundle import, again)"
    return {"view_words": "side, front, back, overhead" if manifest.has_view_words else lacking}


def check_resumed(
    config: GenerateConfig, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> EngineChoice:
    """Compare a run that is resumed with how it was started, and settle its engine.

    Args:
        config: what the user asked for; an engine of `auto` means that of the run.
        found: `config.json` of the run. Its engine is `auto` as long as no guidance step has run:
            `--reference-only` stops before.
        wanted: the settings now, as `run_settings` returns them.

    Raises:
        ResumeMismatch: names the first setting that differs.
    """
    engine: EngineChoice = found["engine"] if config.engine == "auto" else config.engine
    started = {**found, "engine": engine if found["engine"] == "auto" else found["engine"]}
    asked = {**wanted, "engine": engine}
    for key in DECIDING:
        if key in ("method", "phase1_sha256"):  # Phase I is compared where it is read
            continue
        if started.get(key) != asked.get(key):
            raise ResumeMismatch(
                f"--resume continues the run as it was started, but {key} differs.\n"
                f"  started with: {started.get(key)}\n  asked for:    {asked.get(key)}\n"
                f"Leave out what the run was started with, or start again with --overwrite."
            )
    ours, theirs = asked["changes"], started.get("changes", {})
    for name in sorted(ours.keys() | theirs.keys()):
        if _number(ours, name) != _number(theirs, name):
            raise ResumeMismatch(
                f"--resume continues the run as it was started, but {name} differs.\n"
                f"  started with: {_number(theirs, name)}\n  asked for:    {_number(ours, name)}\n"
                f"Leave out --method.{name} and --config, or start again with --overwrite."
            )
    if started.get("method") != asked["method"]:
        raise ResumeMismatch(
            f"--resume continues the run as it was started, but the numbers of preset "
            f"{asked['preset']!r} have changed since, with the version of xbind.\n"
            f"Continue with the version that started it, or start again with --overwrite."
        )
    return engine


def _number(changes: Mapping[str, Any], name: str) -> str:
    return str(changes[name]) if name in changes else "the preset's value"


def choose_files(config: GenerateConfig, found: Mapping[str, Any]) -> FilesConfig:
    """Returns the format of the mesh files: as asked for, else as the run was started, else the
    default.

    Args:
        config: what the user asks for.
        found: the files' settings in `config.json` of a run that is resumed; else empty.

    Raises:
        RunError: `found` is damaged.
    """
    asked = {k: x for k, x in dataclasses.asdict(config.files).items() if x is not None}
    try:
        return dataclasses.replace(DEFAULT_FILES, **{**found, **asked})
    except (TypeError, ValueError) as error:
        raise RunError(
            f"{config.out / CONFIG} is damaged: its 'files' are {found!r} ({error}).\n"
            f"Start the run again with --overwrite, or in another folder with --out."
        ) from error
