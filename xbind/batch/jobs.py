"""Jobs: one prompt with one seed each, identified by what decides their result. No torch here."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from xbind.conditioning.errors import PromptError
from xbind.config.options import FilesConfig, GenerateConfig, PromptConfig
from xbind.config.ranges import recorded
from xbind.config.variants import method_of, priors_of
from xbind.errors import XBindError
from xbind.files import sha256_file
from xbind.networks.manifest import load_manifest
from xbind.run.resuming import from_plain
from xbind.system.untrusted import fault_of

_ID_DIGITS = 16
"""Hexadecimal digits of an id: two of a million jobs share one with probability 3e-8."""
_LONGEST_SLUG = 40
"""Characters of the prompt in the name of a folder."""


class BatchError(XBindError):
    """A batch or a job cannot be used as asked for; the message says what to type instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One object to make."""

    id: str
    """Start of the SHA-256 of what decides the result; see `make_job`."""
    config: GenerateConfig
    """Settings of the run; the folder in `out` is chosen when the job runs."""
    title: str = ""
    """Name of the run's folder; empty for one that is made of prompt, seed and id."""

    def __post_init__(self) -> None:
        if self.title and (Path(self.title).name != self.title or self.title in (".", "..")):
            raise BatchError(f"{self.title!r} cannot be the name of a folder.")

    @property
    def label(self) -> str:
        """The prompt on one line: its words, and the names of its files."""
        return prompt_label(self.config.prompt)

    @property
    def name(self) -> str:
        """Name of the run's folder: `title`, or prompt, seed and id, in letters and digits."""
        return self.title or f"{slug_of(self.label)}-s{self.config.seed}-{self.id}"


def prompt_label(prompt: PromptConfig) -> str:
    """Returns a prompt on one line: its words, and the names of its files."""
    return " + ".join(
        str(prompt.text) if modality == "text" else getattr(prompt, modality).name
        for modality in prompt.given()
    )


def slug_of(text: str) -> str:
    """Returns the start of a text in lower-case ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower())[:_LONGEST_SLUG].strip("-") or "object"


def make_job(config: GenerateConfig, title: str = "") -> Job:
    """Returns the job for the settings of a run.

    Its id depends on the prompt with the content of its files, the seed, the candidate, every
    number of the method, the content of the bundle and its light where the method uses them, the
    2D and 3D prior, device, engine, precision, memory budget and the settings of the mesh files. It
    does not depend on the names of files and folders.

    Args:
        config: the settings; `out`, `resume` and `overwrite` are ignored.
        title: name of the run's folder, which is then part of the id: jobs with the same settings
            and other titles are different jobs.

    Raises:
        PromptError: a file of the prompt cannot be read.
        XBindError: there is no such preset, setting, bundle or prior.
    """
    method = method_of(config)
    manifest = load_manifest(config.bundle).with_priors(*priors_of(config, method))
    used = manifest.with_view_words(method.uses_view_words)
    light = manifest.light if method.uses_light else None
    decides = {
        "title": title or None,
        "prompt": prompt_content(config.prompt),
        "seed": config.seed,
        "candidate": config.candidate,
        "light": None if light is None else light.plain(),
        "method": recorded(method),
        "bundle": [used.digest, used.deciding, manifest.chosen_3d],
        "prior_2d": manifest.chosen_2d,
        "device": config.device,
        "engine": config.engine,
        "precision": config.precision,
        "vram": config.vram,
        "files": asdict(config.files),
        "from_phase1": None if config.from_phase1 is None else str(config.from_phase1.resolve()),
    }
    text = json.dumps(_without_none(decides), sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS]
    plain = replace(config, out=Path("out/xbind"), resume=False, overwrite=False)
    return Job(id=digest, config=plain, title=title)


def prompt_files(prompt: PromptConfig) -> dict[str, Path]:
    """Returns the files that a prompt names: field → path."""
    values = {field.name: getattr(prompt, field.name) for field in fields(prompt)}
    return {name: value for name, value in values.items() if isinstance(value, Path)}


def config_to_plain(config: GenerateConfig) -> dict[str, Any]:
    """Returns settings as values that JSON has; `config_from_plain` reads them."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(config), default=str))
    return plain


def config_from_plain(plain: Mapping[str, Any]) -> GenerateConfig:
    """Returns the settings that `config_to_plain` wrote.

    Raises:
        ValueError, TypeError, KeyError: they are not those of a run.
    """
    values = from_plain(GenerateConfig, plain)
    values["prompt"] = PromptConfig(**from_plain(PromptConfig, values["prompt"]))
    values["files"] = FilesConfig(**values["files"])
    return GenerateConfig(**values)


def prompt_content(prompt: PromptConfig) -> dict[str, Any]:
    """Returns the fields of a prompt that are not the default, with SHA-256 in place of files.

    Raises:
        PromptError: a file cannot be read.
    """
    found: dict[str, Any] = {}
    for field in fields(prompt):
        value = getattr(prompt, field.name)
        if isinstance(value, Path):
            if (fault := fault_of(value)) is not None:
                option = field.name.replace("_", "-")
                raise PromptError(f"--{option} {value} {fault}.\nGive the path of a file.")
            found[field.name] = sha256_file(value)
        elif value != field.default:
            found[field.name] = value
    return found


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Without settings that are not set: one that a later version adds changes no id."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }
