"""The settings of a run that was started before, read from its folder. No torch here."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

from xbind.config.options import GenerateConfig, Precision, PromptConfig, precision_for
from xbind.run.checks import CONFIG, RunError, check_holds, read_config
from xbind.run.json_files import Damaged

_NEEDED = (
    *("prompt", "seed", "preset", "without", "phase2_loss", "from_phase1", "bundle", "precision"),
    *("prior_3d", "vram", "device", "engine", "files", "threads", "bundle_figures", "versions"),
    "changes",
)
"""Settings that `config.json` always holds."""
_OWN = frozenset({"files", "prompt", "out", "resume", "overwrite", "engine"})
"""Settings that are not taken from `config.json` as they are there."""


def read_started(out: Path) -> dict[str, Any]:
    """`config.json` of the run that is to be resumed.

    Raises:
        RunError: there is no run in `out`, or the file is damaged.
    """
    check_holds(out, resume=True, overwrite=False)
    path = out / CONFIG
    try:
        found = read_config(path)
    except (OSError, Damaged) as error:
        raise _damaged(path, error) from error
    if missing := [name for name in _NEEDED if name not in found]:
        raise _damaged(path, f"it lacks {', '.join(missing)}")
    if found["precision"] not in get_args(Precision):
        raise _damaged(path, f"its precision is {found['precision']!r}")
    return found


def with_precision(config: GenerateConfig, device: str) -> GenerateConfig:
    """The settings with a precision in place of `auto`: that of the run to resume, or the device's.

    Args:
        config: the settings of a run.
        device: where it computes, `cpu` or `cuda`.

    Raises:
        RunError: there is no run to resume, or its `config.json` is damaged.
    """
    precision = config.precision
    if precision == "auto" and config.resume:
        precision = read_started(config.out)["precision"]
    return replace(config, precision=precision_for(precision, device))


def started_config(out: Path) -> GenerateConfig:
    """The command that goes on with the run in `out`, as it was started.

    Raises:
        RunError: there is no run in `out`, or its `config.json` is damaged.
    """
    found = read_started(out)
    try:
        prompt = PromptConfig(**from_plain(PromptConfig, found["prompt"]))
        found["without"] = ",".join(found["without"])
        found["method"] = dict(found["changes"])  # there, `method` holds all numbers
        own = {k: v for k, v in from_plain(GenerateConfig, found).items() if k not in _OWN}
        return GenerateConfig(prompt=prompt, out=out, resume=True, **own)
    except (ValueError, TypeError, AttributeError) as error:  # a value of another type
        raise _damaged(out / CONFIG, error) from error


def from_plain(
    config: type[PromptConfig] | type[GenerateConfig], found: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the values in plain data that are fields of a configuration, paths as `Path`."""
    return {
        field.name: _of_type(field.type, found[field.name])
        for field in fields(config)
        if field.name in found
    }


def _of_type(wanted: Any, value: object) -> object:  # noqa: ANN401
    types = {wanted, *get_args(wanted), *(t for part in get_args(wanted) for t in get_args(part))}
    return Path(value) if Path in types and isinstance(value, str) else value


def _damaged(path: Path, error: Exception | str) -> RunError:
    return RunError(
        f"{path} cannot be read ({error}), so the run cannot be resumed.\n"
        f"Start it again with --overwrite, or in another folder with --out."
    )
