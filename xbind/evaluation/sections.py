"""Results as data: the sections of `results.json`, from which all tables are written.

{"format": 1, "sections": {"table-2": {…, "methods": [{"label": "xbind", …, "objects": [
{"prompt": "a_red_mug", "seed": 0, "kind": "text", …, "clip_r": 1.0, …},
…]}]}}}
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from xbind.errors import XBindError
from xbind.evaluation.labels import in_table_order
from xbind.evaluation.paper import PRINTED
from xbind.files import atomic_write
from xbind.run.json_files import Damaged, from_json

FORMAT = 1
"""Version of the file's form."""
DIGITS = 4
"""Significant digits of figures."""
REAL = "_real"
"""Ending of the figures of real objects."""
_TEXTS = ("preset", "bundle_sha256")
_LISTS = ("seeds", "workers", "commits", "commands", "without")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectLine:
    """What was measured of one object."""

    prompt: str
    """Name of the prompt; no other prompt of the section has it."""
    seed: int
    kind: str
    """Modality of the prompt, or `mix`."""
    category: str | None = None
    """What it should make; None if the list does not say."""
    seen: bool | None = None
    """Whether the first method's 3D prior was trained on that category; None if not known."""
    seconds: float | None = None
    """Wall time of the run; None if it was started more than once, or made nothing."""
    failure: str | None = None
    """Why nothing came out of it."""
    figures: Mapping[str, float]

    @property
    def group(self) -> str | None:
        """`seen` or `unseen`; None if not known."""
        return None if self.seen is None else "seen" if self.seen else "unseen"

    def plain(self) -> dict[str, Any]:
        """Returns the line as JSON data: the figures stand beside the other entries."""
        line = {name: getattr(self, name) for name in _OWN}
        if self.failure is None:
            del line["failure"]
        return line | {name: self.figures[name] for name in in_table_order(self.figures)}


_OWN = tuple(field.name for field in fields(ObjectLine) if field.name != "figures")


@dataclass(frozen=True, slots=True)
class Method:
    """Results of one method."""

    label: str
    settings: Mapping[str, Any]
    """Preset, changes of its numbers, seeds, bundle, commits, commands, …"""
    objects: tuple[ObjectLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Methods that are compared on the same prompts and seeds."""

    methods: tuple[Method, ...]
    """The first one is what the others are compared with."""
    real: Mapping[str, Mapping[str, float]]
    """Prompt → what real objects measure, by the names of the figures."""
    calibration: Mapping[str, Mapping[str, float]] | None = None
    """Kind of known objects → what the judges say of them."""
    paper: str | None = None
    """Table of the paper whose figures are shown beside."""

    def plain(self) -> dict[str, Any]:
        """Returns the section as JSON data."""
        return {
            "paper": self.paper,
            "methods": [
                {"label": m.label, **m.settings, "objects": [line.plain() for line in m.objects]}
                for m in self.methods
            ],
            "real": self.real,
            "calibration": self.calibration,
        }


def rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Returns the figures with `DIGITS` significant digits; whole numbers as integers."""
    values = {name: float(f"{value:.{DIGITS}g}") for name, value in figures.items()}
    return {name: int(v) if v.is_integer() else v for name, v in values.items()}


def read_sections(path: Path) -> dict[str, Section]:
    """Reads a file of results: name → section.

    Raises:
        XBindError: it cannot be read, or is not what `write_sections` wrote.
    """
    try:
        found = from_json(path)
        if found["format"] != FORMAT:
            raise Damaged(f"wanted format {FORMAT}, found {found['format']!r}")
        return {name: _section_of(plain) for name, plain in found["sections"].items()}
    except OSError as error:
        raise XBindError(f"{path} cannot be read ({error}).") from error
    except (Damaged, ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise XBindError(
            f"{path} is not a file of results ({why}).\n"
            f"Restore it, or give another file to --results."
        ) from error


def write_sections(path: Path, sections: Mapping[str, Section]) -> None:
    """Writes a file of results, whole or not at all; an object is one line.

    Raises:
        XBindError: it cannot be written.
    """
    plain = {name: section.plain() for name, section in sections.items()}
    atomic_write(path, f"{_lines_of({'format': FORMAT, 'sections': plain})}\n".encode())


def _lines_of(value: object, margin: str = "") -> str:
    """JSON text in which what holds no list or object stands on one line."""
    inner: Iterable[object] = ()
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
    if not any(isinstance(one, dict | list) for one in inner):
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if isinstance(value, dict):
        parts = [f"{json.dumps(k)}: {_lines_of(v, f'{margin} ')}" for k, v in value.items()]
        begin, end = "{}"
    else:
        parts, (begin, end) = [_lines_of(one, f"{margin} ") for one in inner], "[]"
    return f"{begin}\n{margin} " + f",\n{margin} ".join(parts) + f"\n{margin}{end}"


def _section_of(plain: Mapping[str, Any]) -> Section:
    methods = tuple(map(_method_of, plain["methods"]))
    if not methods or len({m.label for m in methods}) < len(methods):
        raise Damaged("a section has no methods, or two with one label")
    keys = [[(o.prompt, o.seed) for o in m.objects] for m in methods]
    if any(other != keys[0] for other in keys):
        raise Damaged(f"a method has other objects than {methods[0].label!r}")
    if lost := [prompt for prompt, _ in keys[0] if prompt not in plain["real"]]:
        raise Damaged(f"there are no real figures of {lost[0]!r}")
    if plain["paper"] not in (None, *PRINTED):
        raise Damaged(f"the paper has no table {plain['paper']!r}")
    known = plain["calibration"]
    return Section(
        methods=methods,
        real={prompt: _figures_of(row) for prompt, row in plain["real"].items()},
        calibration=None if known is None else {k: _figures_of(row) for k, row in known.items()},
        paper=plain["paper"],
    )


def _method_of(plain: Mapping[str, Any]) -> Method:
    settings = {k: v for k, v in plain.items() if k not in ("label", "objects")}
    for names, wanted in ((_TEXTS, str), (_LISTS, list)):
        for name in names:
            if not isinstance(settings[name], wanted):
                raise Damaged(f"{name} is {settings[name]!r}")
    return Method(str(plain["label"]), settings, tuple(map(_object_of, plain["objects"])))


def _object_of(plain: Mapping[str, Any]) -> ObjectLine:
    return ObjectLine(
        prompt=str(plain["prompt"]), seed=int(plain["seed"]), kind=str(plain["kind"]),
        category=_or_none(str, plain["category"]), seen=_or_none(bool, plain["seen"]),
        seconds=_or_none(float, plain["seconds"]), failure=_or_none(str, plain.get("failure")),
        figures=_figures_of({k: v for k, v in plain.items() if k not in _OWN}),
    )  # fmt: skip


def _or_none(of: Callable[[Any], _T], value: object) -> _T | None:
    return None if value is None else of(value)


def _figures_of(plain: Mapping[str, Any]) -> dict[str, float]:
    if wrong := [name for name, value in plain.items() if type(value) not in (int, float)]:
        raise Damaged(f"{wrong[0]} is {plain[wrong[0]]!r}")
    return dict(plain)
