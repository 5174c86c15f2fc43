"""Evaluations of several methods, matched by prompt and seed."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xbind.errors import XBindError
from xbind.evaluation.folders import Folder, Judged, Key, read_folder
from xbind.evaluation.sections import REAL, Method, ObjectLine, Section, rounded
from xbind.evaluation.sheets import save_comparison
from xbind.networks.manifest import load_manifest

_OF_A_FOLDER = ("seed", "prompts", "commits", "commands", "from_phase1")
"""Settings in which the folders of one method may differ; see `_alike`."""


@dataclass(frozen=True, slots=True)
class Result:
    """Evaluation of one method: a folder, or several with other seeds or lists."""

    label: str
    folders: tuple[Folder, ...]
    objects: Mapping[Key, Judged]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that all its folders have."""
        return self.folders[0].settings


def read_method(words: str) -> Result:
    """Reads the results of one method.

    Args:
        words: `[LABEL=]FOLDER[,FOLDER…]`. Without a label the settings name the method.

    Raises:
        XBindError: a folder holds no evaluation, or an unfinished one; or the folders differ in
            more than seed and list, or have an object in common.
    """
    label, paths = _parsed(words)
    folders = [read_folder(path) for path in paths]
    for folder in folders[1:]:
        _alike(folders[0], folder)
    objects: dict[Key, Judged] = {}
    for folder in folders:
        for key, judged in folder.objects.items():
            if key in objects:
                raise XBindError(
                    f"{objects[key].run} and {judged.run} are of the same prompt and seed.\n"
                    f"Name each object once: leave one of the folders out."
                )
            objects[key] = judged
    return Result(label or _name_of(folders[0].settings), tuple(folders), objects)


def _parsed(words: str) -> tuple[str, list[Path]]:
    if words.strip() and Path(words).is_dir():  # its name may hold any character
        return "", [Path(words)]
    label, equals, rest = words.partition("=")
    names = (rest if equals else words).split(",")
    if not all(name.strip() for name in names) or (equals and not label.strip()):
        raise XBindError(
            f"{words!r} names no folder, or an empty one.\n"
            f"Give [LABEL=]FOLDER[,FOLDER…], such as xbind=out/xbind-0,out/xbind-1."
        )
    return label.strip() if equals else "", [Path(name.strip()) for name in names]


def _alike(first: Folder, other: Folder) -> None:
    """Compares the settings of two folders of one method.

    Seeds, lists, commits and commands may differ, and so may the folder of Phases I, which has one
    seed; but both have one or neither.

    Raises:
        XBindError: they differ in another one, or in their judges.
    """
    settings = [dict(folder.settings) for folder in (first, other)]
    for one, folder in zip(settings, (first, other), strict=True):
        one["judges"] = sorted({str(judged.row["judges"]) for judged in folder.objects.values()})
        one["start at the end of Phase I"] = one.get("from_phase1") is not None
    a, b = settings
    for name in a.keys() & b.keys():  # earlier versions had fewer settings
        if name not in _OF_A_FOLDER and a[name] != b[name]:
            raise XBindError(
                f"{first.path} and {other.path} are not of one method; they differ in {name}:\n"
                f"  {a[name]}\n  {b[name]}\n"
                f"Give them as two methods, with a space between them instead of a comma."
            )


def _name_of(settings: Mapping[str, Any]) -> str:
    """The method, with what was left out of it or changed."""
    parts = [settings["preset"].removeprefix("default:")]
    parts[0] = "xbind" if parts[0] == "default" else parts[0]
    if settings["without"]:
        parts.append(f"without {', '.join(settings['without'])}")
    if settings["phase2_loss"]:
        parts.append(f"{settings['phase2_loss'].upper()} in Phase II")
    parts += [f"{name} {value}" for name, value in settings.get("changes", {}).items()]
    for kind in ("2D", "3D"):
        if prior := settings.get(f"prior_{kind.lower()}"):
            parts.append(f"{prior} {kind} prior")
    return ", ".join(parts)


def in_common(results: Sequence[Result]) -> list[Result]:
    """The same results over the prompts and seeds that all of them have, in the first one's order.

    Raises:
        XBindError: there are none, or two methods have one label.
    """
    labels = [result.label for result in results]
    if twice := {label for label in labels if labels.count(label) > 1}:
        raise XBindError(
            f"Two methods are called {sorted(twice)[0]!r}.\n"
            f"Give them other labels: LABEL=FOLDER. Folders of one method have commas between them."
        )
    shared = [key for key in results[0].objects if all(key in r.objects for r in results)]
    if not shared:
        names = ", ".join(str(folder.path) for result in results for folder in result.folders)
        raise XBindError(
            f"{names} have no prompt in common with the same seed.\n"
            f"Compare methods on the same list and seed."
        )
    return [replace(r, objects={key: r.objects[key] for key in shared}) for r in results]


def seen_categories(result: Result) -> tuple[str, ...]:
    """Categories that a method's 3D prior was trained on; none if its bundle does not name them.

    Raises:
        XBindError: its bundle is not there, or has changed.
    """
    config = next(iter(result.objects.values())).record.job.config
    manifest = load_manifest(config.bundle).with_priors(
        result.settings.get("prior_2d"), result.settings.get("prior_3d")
    )
    if manifest.digest != result.settings["bundle_sha256"]:
        raise XBindError(
            f"The bundle {manifest.name!r} has changed since {result.folders[0].path} was made, so "
            f"it does not tell what the 3D prior of then had seen."
        )
    return manifest.prior_3d.categories


def to_section(results: Sequence[Result], *, seen: Sequence[str], paper: str | None) -> Section:
    """The results as data.

    Args:
        results: over the same prompts and seeds.
        seen: categories that the first one's 3D prior was trained on; empty if not known.
        paper: table of the paper to show beside.
    """
    names = _names(results[0])
    real: dict[str, dict[str, float]] = {name: {} for name in names.values()}
    for result in results:
        for (content, _), judged in result.objects.items():
            figures = rounded(judged.row["figures"])
            # the same from any object of the prompt, but one of which nothing came does not have it
            real[names[content]] |= {k: v for k, v in figures.items() if k.endswith(REAL)}
    calibrations = [f.calibration for result in results for f in result.folders if f.calibration]
    known = calibrations[0] if calibrations else None
    return Section(
        methods=tuple(_method(result, names, seen) for result in results),
        real=real,
        calibration=None if known is None else {k: rounded(row) for k, row in known.items()},
        paper=paper,
    )


def _names(result: Result) -> dict[str, str]:
    """Content of each prompt → its name: that of its folders, which two lists may both use."""
    names: dict[str, str] = {}
    for (content, _), judged in result.objects.items():
        name, number = judged.run.name, 1
        while name in [other for held, other in names.items() if held != content]:
            number += 1
            name = f"{judged.run.name}-{number}"
        names.setdefault(content, name)
    return names


def _method(result: Result, names: Mapping[str, str], seen: Sequence[str]) -> Method:
    settings = result.settings
    copied = ("prior_2d", "prior_3d", "device", "precision", "vram")
    commits = [commit for folder in result.folders for commit in folder.settings["commits"]]
    return Method(
        result.label,
        {
            "preset": settings["preset"],
            "changes": settings.get("changes", {}),
            "without": settings["without"],
            "phase2_loss": settings["phase2_loss"],
            "from_phase1": settings.get("from_phase1") is not None,
            **{name: settings.get(name) for name in copied},
            "bundle_sha256": settings["bundle_sha256"],
            "seeds": sorted({seed for _, seed in result.objects}),
            "workers": sorted({f.workers for f in result.folders if f.workers is not None}),
            "commits": list(dict.fromkeys(commits)),
            "commands": [_shareable(f.settings["commands"][0]) for f in result.folders],
        },
        tuple(
            _line(judged, names[content], seed, seen)
            for (content, seed), judged in result.objects.items()
        ),
    )


def _line(judged: Judged, name: str, seed: int, seen: Sequence[str]) -> ObjectLine:
    category = judged.prompt.get("category")
    figures = {k: v for k, v in judged.row["figures"].items() if not k.endswith(REAL)}
    seconds = judged.seconds
    return ObjectLine(
        prompt=name,
        seed=seed,
        kind=judged.row["kind"],
        category=category,
        seen=category in seen if category is not None and seen else None,
        seconds=None if seconds is None else round(seconds, 1),
        failure=judged.row.get("failure"),
        figures=rounded(figures),
    )


def _shareable(command: str) -> str:
    """A command without the folders of one machine: of an absolute path the last part."""
    words = shlex.split(command)
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in words)


def save_sheet(path: Path, results: Sequence[Result], *, rows: int, normals: bool) -> None:
    """Saves a sheet of the prompts for which every method made an object, with the lowest seed.

    Args:
        path: the picture.
        results: over the same prompts and seeds.
        rows: how many prompts at most, evenly taken from the list.
        normals: show normal maps beside the colours.

    Raises:
        XBindError: there is none.
    """
    made = [
        key for key in results[0].objects
        if not any(result.objects[key].row.get("failure") for result in results)
    ]  # fmt: skip
    if not made:
        raise XBindError("There is no prompt that every method made something of: no --sheet.")
    lowest = min(seed for _, seed in made)
    keys = [key for key in made if key[1] == lowest]
    shown = [keys[k * len(keys) // rows] for k in range(rows)] if len(keys) > rows else keys
    runs = [[result.objects[key].run for result in results] for key in shown]
    save_comparison(path, [result.label for result in results], runs, normals=normals)
