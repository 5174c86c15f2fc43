"""The settings of a run that was started before, read from its folder. No torch here."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from xbind.config.options import IMAGE_OPTIONS, GenerateConfig, Precision, PromptConfig
from xbind.run.checks import CONFIG, RunError, check_holds

_EARLIER: dict[str, Any] = {
    "engine": "eager", "precision": "float32", "without": [], "phase2_loss": None,
    "from_phase1": None, "vram": None, "device": "cpu",
    "prior_3d": None, "files": {},
}  # fmt: skip
"""Settings of runs that were started before there were such settings."""
_EARLIER_PROMPT = dict.fromkeys(IMAGE_OPTIONS) | {"exact_words": False, "ignore_unknown": False}
"""Likewise, of the prompt."""
_OWN = frozenset({"files", "prompt", "out", "resume", "overwrite", "threads", "engine"})
"""Settings that are not taken from `config.json` as they are there."""


def read_started(out: Path) -> dict[str, Any]:
    """`config.json` of the run that is to be resumed.

    Raises:
        RunError: there is no run in `out`, or the file is damaged.
    """
    check_holds(out, resume=True, overwrite=False)
    path = out / CONFIG
    try:
        found: dict[str, Any] = _EARLIER | json.loads(path.read_bytes())
        if not isinstance(found["prompt"], dict):
            raise TypeError("its prompt is not an object")
        found["prompt"] = _EARLIER_PROMPT | found["prompt"]
        if found["precision"] not in get_args(Precision):
            raise ValueError(f"its precision is {found['precision']!r}")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, error) from error
    if found["device"] == "auto":
        found["device"] = "cpu"
    return found


def started_config(out: Path) -> GenerateConfig:
    """The command that goes on with the run in `out`, as it was started.

    Raises:
        RunError: there is no run in `out`, or its `config.json` is damaged.
    """
    found = read_started(out)
    try:
        prompt = PromptConfig(**_settings(PromptConfig, found["prompt"]))
        found["without"] = ",".join(found["without"])
        own = {k: v for k, v in _settings(GenerateConfig, found).items() if k not in _OWN}
        return GenerateConfig(prompt=prompt, out=out, resume=True, **own)
    except (ValueError, TypeError, AttributeError) as error:  # a value of another type
        raise _damaged(out / CONFIG, error) from error


def _settings(
    config: type[PromptConfig] | type[GenerateConfig], found: dict[str, Any]
) -> dict[str, Any]:
    """Those of the plain data `found` that a configuration has, paths as `Path`."""
    return {
        field.name: _of_type(field.type, found[field.name])
        for field in fields(config)
        if field.name in found
    }


def _of_type(wanted: Any, value: object) -> object:  # noqa: ANN401
    types = {wanted, *get_args(wanted), *(t for part in get_args(wanted) for t in get_args(part))}
    return Path(value) if Path in types and isinstance(value, str) else value


def _damaged(path: Path, error: Exception) -> RunError:
    return RunError(
        f"{path} cannot be read ({error}), so the run cannot be resumed.\n"
        f"Start it anew with --overwrite, or in another folder with --out."
    )
