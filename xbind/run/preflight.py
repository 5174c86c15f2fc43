"""Refusals before torch is imported, a network is loaded or an engine is built."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from xbind.conditioning.errors import PromptError, text_for_prior
from xbind.config.method import MethodConfig
from xbind.config.options import GenerateConfig
from xbind.config.variants import method_of, priors_of
from xbind.errors import XBindError
from xbind.networks.manifest import load_manifest
from xbind.run.checks import CONFIG, EVENTS, OUTPUTS, check_folder, read_run_config
from xbind.run.tensorboard import check_tensorboard
from xbind.system.untrusted import fault_of


class PathError(XBindError):
    """The name of a file or folder cannot be written down."""


class NoReferenceView(XBindError):
    """`--reference-only` or `--candidate` with a method that samples no reference view."""


class NoSuchCandidate(XBindError):
    """`--candidate` with a number above that of the samples."""


def check_generate(config: GenerateConfig) -> None:
    """Check names, files and folders of a run; nothing is changed.

    Raises:
        XBindError: there is no such preset, bundle, prior or candidate, the method has no reference
            view to stop at, the 2D prior wants a text and the prompt has none, a file of the prompt
            cannot be read, or the folder cannot be written, holds a run, or holds none.
    """
    for option, path in _paths(config):
        _check_name(option, path)
    _check_text(config.prompt.text)
    method = method_of(config)
    if config.reference_only and not method.uses_reference:
        raise NoReferenceView(
            f"--reference-only: preset {config.preset!r} as it is asked for has no reference view."
            f"\nLeave out --reference-only or --without, or choose another --preset."
        )
    check_candidate(config, method)
    if config.tensorboard:
        check_tensorboard()
    manifest = load_manifest(config.bundle).with_priors(*priors_of(config, method))
    if not config.resume:  # a run that goes on has read its files
        if manifest.has("unclip.text_encoder"):
            text_for_prior(config.prompt)
        for option, path in _paths(config):
            if option not in ("--out", "--from-phase1"):
                _check_file(option, path)
                _check_apart(option, path, config.out)
        if config.from_phase1 is not None:
            read_run_config(config.from_phase1)
    check_folder(config.out, resume=config.resume, overwrite=config.overwrite)


def check_candidate(config: GenerateConfig, method: MethodConfig) -> None:
    """Refuse the number of a reference view that is not sampled.

    Raises:
        NoReferenceView: the method has no reference view.
        NoSuchCandidate: fewer are drawn.
    """
    if config.candidate is None:
        return
    if not method.uses_reference:
        raise NoReferenceView(
            f"--candidate: preset {config.preset!r} as it is asked for has no reference view.\n"
            f"Leave out --candidate or --without, or choose another --preset."
        )
    count = method.reference.candidates
    if config.candidate > count:
        raise NoSuchCandidate(
            f"--candidate {config.candidate}: preset {config.preset!r} as it is asked for draws "
            f"{count} samples.\nChoose one of 1 to {count}; references.png in the folder of a run "
            f"shows them, and --method.reference.candidates draws more."
        )


def _paths(config: GenerateConfig) -> Iterator[tuple[str, Path]]:
    """Every option that is given a file or folder, with its value."""
    for owner in (config.prompt, config):
        for field in fields(owner):
            value = getattr(owner, field.name)
            if isinstance(value, Path):
                yield f"--{field.name.replace('_', '-')}", value


def _check_name(option: str, path: Path) -> None:
    """Refuse a name that `config.json` cannot hold.

    Raises:
        PathError: it is not text.
    """
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise PathError(
            f"{option} {str(path)!r} is not valid UTF-8 (in {str(path.absolute())!r}).\n"
            f"Rename the file or folder, or give another one."
        ) from error


def _check_text(text: str | None) -> None:
    """Refuse words that `config.json` cannot hold.

    Raises:
        PromptError: they hold half of a surrogate pair, or bytes that are no text.
    """
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise PromptError(f"--text {text!r} is not valid Unicode.\nWrite it again.") from error


def _check_apart(option: str, path: Path, out: Path) -> None:
    """Refuse a file of the prompt that the run would replace.

    Raises:
        PromptError: it has the name of a file of the run, in the run's folder.
    """
    place = Path(os.path.realpath(path))
    if place.parent == Path(os.path.realpath(out)) and place.name in (CONFIG, EVENTS, *OUTPUTS):
        raise PromptError(
            f"{option} {path} would be replaced by this run, which writes a file of that name.\n"
            f"Move it away, or choose another folder with --out."
        )


def _check_file(option: str, path: Path) -> None:
    """Refuse a file of the prompt that is not there or cannot be read.

    Raises:
        PromptError: says which option names it.
    """
    fault = fault_of(path)
    if fault is not None:
        raise PromptError(f"{option} {path} {fault}.\nGive the path of a file.")
    if path.stat().st_size == 0:
        raise PromptError(f"{option} {path} is empty.\nGive another file.")
