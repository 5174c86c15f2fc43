"""Arguments of the library, as the settings of a run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict

from xbind.config.options import (
    MODALITIES,
    DeviceChoice,
    EngineChoice,
    FilesConfig,
    GenerateConfig,
    Material,
    Modality,
    Part,
    Phase2Loss,
    Pivot,
    PrecisionChoice,
    PromptConfig,
)
from xbind.config.ranges import annotations_of, check_value
from xbind.errors import XBindError
from xbind.run.inputs import ArrayInput, FilePath, ImageInput, store_inputs

_FLAG = re.compile(r"--([a-z0-9]+(?:-[a-z0-9]+)*)")
_FILES = (*MODALITIES[1:], "mask", "matting_weights")


class _Options(Protocol):
    """A TypedDict without required keys."""

    __optional_keys__: frozenset[str]


class ArgumentError(XBindError, ValueError):
    """An argument of the library has a wrong value, or does not go with another one."""


class LoadOptions(TypedDict, total=False):
    """Keywords for loading and running networks; see the options of `xbind generate`."""

    device: DeviceChoice
    engine: EngineChoice
    precision: PrecisionChoice
    vram: float | None
    threads: int
    prior_2d: str | None
    prior_3d: str | None


class RunOptions(TypedDict, total=False):
    """Keywords of a run beside its prompt; see the options of `xbind generate`."""

    video: FilePath
    thermal: ImageInput
    imu: ArrayInput
    depth_kind: Literal["depth", "disparity"]
    mask: ImageInput
    matting_weights: FilePath
    elevation: float
    azimuth: float
    exact_words: bool
    ignore_unknown: bool
    without: str | Sequence[Part]
    phase2_loss: Phase2Loss
    from_phase1: FilePath
    reference_only: bool
    candidate: int | None
    material: Material
    pivot: Pivot
    height: float
    overwrite: bool
    tensorboard: bool


class GenerateOptions(RunOptions, LoadOptions, total=False):
    """Keywords of `xbind.generate`: those of a run and those of loading."""


def check_names(options: Mapping[str, Any], known: _Options) -> None:
    """Refuse keywords that there are not: a TypedDict is checked by type checkers only.

    Raises:
        TypeError: as Python does for an unknown keyword.
    """
    names = sorted(known.__optional_keys__)
    for name in options:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Choose from {', '.join(names)}."
            raise TypeError(f"There is no option {name!r}.{hint}")


def make_prompt(
    values: Mapping[str, Any], mix: Mapping[Modality, float], folder: Path
) -> PromptConfig:
    """The prompt, with pictures and arrays written to files in the run's folder."""
    names = {field.name for field in fields(PromptConfig)}
    own = {name: value for name, value in values.items() if name in names}
    weights: dict[str, Any] = {f"{modality}_weight": weight for modality, weight in mix.items()}
    if unknown := weights.keys() - names:
        raise ArgumentError(
            f"mix has a weight for {', '.join(sorted(unknown)).replace('_weight', '')}, which is "
            f"no modality."
        )
    if all(value is None for name, value in own.items() if name in MODALITIES):
        raise ArgumentError(
            f'no prompt: give at least one of {", ".join(MODALITIES)}, such as "a red mug".'
        )
    with _as_arguments():
        # the settings are checked before a file is written, with names in place of the values
        named: dict[str, Any] = {
            k: Path(k) if k in _FILES and v is not None else v for k, v in own.items()
        }
        _check_types(PromptConfig, named | weights)
        PromptConfig(**named, **weights)
        return PromptConfig(**store_inputs(own, folder), **weights)


def make_config(values: Mapping[str, Any]) -> GenerateConfig:
    """The settings of a run from keywords, paths as `Path`."""
    own = {f.name: values[f.name] for f in fields(GenerateConfig) if f.name in values}
    files = {f.name: values[f.name] for f in fields(FilesConfig) if f.name in values}
    if not isinstance(without := own.get("without", ""), str):
        own["without"] = ",".join(without)
    if own.get("from_phase1") is not None:
        own["from_phase1"] = Path(own["from_phase1"])
    with _as_arguments():
        _check_types(GenerateConfig, own)
        _check_types(FilesConfig, files)
        return GenerateConfig(**own, files=FilesConfig(**files))


def _check_types(config: type, values: Mapping[str, Any]) -> None:
    """Check values before a configuration compares them with numbers.

    Raises:
        ValueError: names the field, what it wants and what it was given.
    """
    annotations = annotations_of(config)
    for name, value in values.items():
        check_value(name, annotations[name], value)


@contextmanager
def _as_arguments() -> Iterator[None]:
    """Turn the refusals of a configuration, which name flags, into those of arguments."""
    try:
        yield
    except ValueError as error:
        raise ArgumentError(_FLAG.sub(lambda m: m[1].replace("-", "_"), str(error))) from error
