"""Results of several methods beside each other, as Markdown tables and a contact sheet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xbind.errors import XBindError
from xbind.evaluation.labels import label_of
from xbind.evaluation.records import (
    CALIBRATION,
    SETTINGS,
    EvaluationFolder,
    Mean,
    means_by_kind,
)
from xbind.evaluation.sheets import save_comparison
from xbind.files import atomic_write

TABLE_1 = (
    ("text", "clip_r"), ("text", "clip_r_calibrated"),
    ("text", "clip_r_judge_2"), ("text", "clip_r_judge_2_calibrated"), ("text", "clip_r_self"),
    ("image", "clip_i"), ("image", "clip_i_judge_2"), ("image", "clip_i_self"),
    ("image", "clip_r"), ("image", "clip_r_judge_2"),
    ("audio", "arcc_self"), ("audio", "clip_r"), ("audio", "clip_r_judge_2"),
)  # fmt: skip
"""Kind of prompt and figure of each column."""
SHAPE = (
    "silhouette_change", "colour_change", "iou", "chamfer", "kernel_distance", "fronts",
    "components", "bumps",
)  # fmt: skip
"""Figures that are taken over prompts of all kinds."""


@dataclass(frozen=True, slots=True)
class Result:
    """Evaluation of one method."""

    path: Path
    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    calibration: dict[str, dict[str, float]] | None

    @property
    def name(self) -> str:
        """The method, with what was left out of it."""
        parts = [self.settings["preset"].removeprefix("default:")]
        parts[0] = "xbind" if parts[0] == "default" else parts[0]
        if self.settings["without"]:
            parts.append(f"without {', '.join(self.settings['without'])}")
        if self.settings["phase2_loss"]:
            parts.append(f"{self.settings['phase2_loss'].upper()} in Phase II")
        changes = self.settings.get("changes", {})
        parts += [f"{name} {value}" for name, value in changes.items()]
        if self.settings.get("prior_3d"):
            parts.append(f"{self.settings['prior_3d']} 3D prior")
        return ", ".join(parts)


def read_result(path: Path) -> Result:
    """Returns the results that `xbind eval run` left in a folder; every run must be judged.

    Raises:
        XBindError: it holds no evaluation, or an unfinished one.
    """
    folder = EvaluationFolder(path)
    settings = folder.read_json(SETTINGS) if path.is_dir() else None
    if settings is None:
        raise XBindError(
            f"There is no evaluation in {path}: it has no {SETTINGS}.\n"
            f"Give a folder that `xbind eval run` was given with --out."
        )
    if missing := {"preset", "without", "phase2_loss", "prompts", "commands"} - settings.keys():
        raise XBindError(
            f"{path / SETTINGS} is not that of an evaluation; it lacks "
            f"{', '.join(sorted(missing))}.\n"
            f"Give a folder that `xbind eval run` was given with --out."
        )
    rows = folder.rows()
    if len(rows) < len(settings["prompts"]):
        raise XBindError(
            f"The evaluation in {path} is not finished: {len(rows)} of "
            f"{len(settings['prompts'])} objects are judged.\nFinish it with:  "
            f"{settings['commands'][-1]}"
        )
    calibration = folder.read_json(CALIBRATION)
    return Result(path, settings, rows, calibration["known"] if calibration else None)


def in_common(results: Sequence[Result]) -> list[Result]:
    """The same results over the prompts that all of them have.

    Raises:
        XBindError: there are none.
    """
    prompts = [p for p in results[0].settings["prompts"]
               if all(p in result.settings["prompts"] for result in results)]  # fmt: skip
    names = [{row["object"] for row in result.rows} for result in results]
    shared = set.intersection(*names) if prompts else set()
    if not shared:
        raise XBindError(
            f"{', '.join(str(result.path) for result in results)} have no prompt in common.\n"
            f"Compare methods on the same list."
        )
    return [
        replace(result, rows=[row for row in result.rows if row["object"] in shared])
        for result in results
    ]


def to_markdown(results: Sequence[Result]) -> str:
    """All tables: prompts, shapes, what the judges say of known objects, where it came from."""
    parts = [_prompt_table(results), _shape_table(results), _calibration_table(results)]
    return "\n".join([*(part for part in parts if part), _origin(results)])


def _prompt_table(results: Sequence[Result]) -> str:
    means = [means_by_kind(result.rows) for result in results]
    columns = [
        (kind, name) for kind, name in TABLE_1 if any(name in m.get(kind, {}) for m in means)
    ]
    head = ["method", *(f"{label_of(name)} ({kind})" for kind, name in columns)]
    body = [
        [result.name, *(_cell(m.get(kind, {}).get(name)) for kind, name in columns)]
        for result, m in zip(results, means, strict=True)
    ]
    return "Mean ± standard error (number of objects):\n\n" + _table(head, body)


def _shape_table(results: Sequence[Result]) -> str:
    means = [means_by_kind(result.rows)["all"] for result in results]
    columns = [name for name in SHAPE if any(name in m for m in means)]
    body = [
        [result.name, *(_cell(m.get(name)) for name in columns)]
        for result, m in zip(results, means, strict=True)
    ]
    known = _of_real_objects(results)
    real = [known.get(f"{name}_real") for name in columns]
    if any(real):
        body.append(["real objects", *("–" if m is None else f"{m.mean:.3f}" for m in real)])
    return "\n" + _table(["method", *(label_of(name) for name in columns)], body)


def _of_real_objects(results: Sequence[Result]) -> Mapping[str, Mean]:
    """Figure → mean over all objects, whichever method made something of them.

    What real objects measure depends on the prompt alone, but a failed run does not hold it.
    """
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        for row in result.rows:
            figures = found.setdefault(row["object"], {"kind": row["kind"], "figures": {}})
            figures["figures"] |= row["figures"]
    return means_by_kind(list(found.values()))["all"]


def _calibration_table(results: Sequence[Result]) -> str:
    calibration = next((r.calibration for r in results if r.calibration), None)
    if calibration is None:
        return ""
    names = [name for name in calibration["real"] if name != "objects"]
    body = [
        [
            f"{kind} ({row['objects']:.0f})",
            *(f"{row[name]:.3f}" if name in row else "–" for name in names),
        ]
        for kind, row in calibration.items()
    ]
    head = ["what the judges say of", *(label_of(name) for name in names)]
    return "\n" + _table(head, body)


def _origin(results: Sequence[Result]) -> str:
    lines = []
    for result in results:
        settings = result.settings
        failed = [row["object"] for row in result.rows if row.get("failure")]
        told = f"; nothing came out of: {', '.join(failed)}" if failed else ""
        lines.append(
            f"- {result.name}: seed {settings['seed']}, {len(result.rows)} objects, commit "
            f"{', '.join(settings['commits'])}{told}. `{settings['commands'][0]}`"
        )
    return "\n" + "\n".join(lines) + "\n"


def _cell(mean: Mean | None) -> str:
    return "–" if mean is None else str(mean)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *map(list, body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def save_sheet(path: Path, results: Sequence[Result], *, rows: int, normals: bool) -> None:
    """Saves a sheet of the prompts for which every method made an object.

    Args:
        path: the picture.
        results: over the same prompts.
        rows: how many prompts at most, evenly taken from the list.
        normals: show normal maps beside the colours.

    Raises:
        XBindError: there is none.
    """
    made = [{r["object"] for r in result.rows if not r.get("failure")} for result in results]
    names = [row["object"] for row in results[0].rows if all(row["object"] in m for m in made)]
    if not names:
        raise XBindError("There is no prompt that every method made something of: no --sheet.")
    shown = [names[k * len(names) // rows] for k in range(rows)] if len(names) > rows else names
    runs = [[result.path / name for result in results] for name in shown]
    save_comparison(path, [result.name for result in results], runs, normals=normals)


def write_section(document: Path, section: str, text: str) -> None:
    """Replace what stands between the marks of a section; the rest stays as it is.

    Raises:
        XBindError: the document cannot be read, or has no such marks.
    """
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    try:
        before, rest = document.read_text().split(begin)
        _, after = rest.split(end)
    except OSError as error:
        raise XBindError(f"{document} cannot be read ({error}).") from error
    except ValueError as error:
        raise XBindError(
            f"{document} has no section {section!r}: wanted one line {begin} and, below it, one "
            f"line {end}.\nWrite them where the tables shall stand."
        ) from error
    atomic_write(document, f"{before}{begin}\n{text.strip()}\n{end}{after}".encode())
