"""`xbind eval`: judge runs."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from xbind.cli.eval_configs import EvalConfig
from xbind.cli.guard import say
from xbind.errors import XBindError
from xbind.evaluation import records
from xbind.evaluation.judges import OPEN_CLIPS, load_open_clip, make_self_judge
from xbind.evaluation.judging import judge_all
from xbind.evaluation.labels import label_of
from xbind.evaluation.records import EvaluationFolder
from xbind.evaluation.runs import Panel, PoolWorld, find_runs, mesh_digest
from xbind.evaluation.sheets import save_rows
from xbind.files import disk_errors
from xbind.mini.calibration import calibrate
from xbind.mini.judging import SIZE, MiniWorld, load_judges
from xbind.networks.load import load_bind, load_convnet
from xbind.networks.manifest import BundleManifest, load_manifest, verify
from xbind.run.console import PlainConsole

WIDTH = 160
"""Width of the tables in characters; lines are not wrapped, for `grep`."""
REAL_VIEW_PX = 256
"""Side of the views that open_clip's judges are shown."""


def evaluate(config: EvalConfig) -> None:
    """Judge finished runs; say which were not judged, and why.

    Raises:
        XBindError: a folder holds none, none can be judged, or a judge cannot be had; or, after
            the others were judged, that a run cannot be read.
    """
    torch.set_num_threads(config.threads)
    found = find_runs(config.paths)
    folder = EvaluationFolder(config.out or config.paths[0])
    _check_place(folder, config.paths)
    panel = make_panel(
        load_manifest(config.bundle), config.pool, config.judges,
        allow_download=config.allow_download,
    )  # fmt: skip
    with disk_errors(folder.path):
        folder.path.mkdir(parents=True, exist_ok=True)
    outcome = judge_all(found, folder, panel, say)
    total = len(found.finished) + len(found.unfinished)
    if not outcome.judged:
        raise XBindError(f"No run was judged.\n{outcome.reasons()}")
    names = {run.name for run in outcome.judged}
    rows = [row for row in folder.rows() if row["object"] in names]
    shown = [run for run in outcome.judged if mesh_digest(run)]
    conclude(folder, rows, shown, panel, outcome.not_judged)
    say(f"judged {len(rows)} of {total} runs")
    if outcome.not_judged:
        say(outcome.reasons())
    if outcome.unreadable:
        raise XBindError(
            f"{len(outcome.unreadable)} of {total} runs could not be read: "
            f"{', '.join(outcome.unreadable)}.\nThe others are judged; the reasons stand above."
        )


def _check_place(folder: EvaluationFolder, paths: Sequence[Path]) -> None:
    """Keeps other runs' figures out of a folder of `xbind eval run`, whose means they would change.

    Raises:
        XBindError: the folder is one, and not all of it, or something else, is judged.
    """
    whole = [*map(os.path.realpath, paths)] == [os.path.realpath(folder.path)]
    if (folder.path / records.SETTINGS).exists() and not whole:
        raise XBindError(
            f"{folder.path} holds an evaluation of its own list of prompts.\n"
            f"Give another folder with --out, or judge all of it: xbind eval {folder.path}"
        )


def make_panel(
    manifest: BundleManifest,
    pool: Path | None = None,
    judges: Sequence[str] = (),
    *,
    allow_download: bool = False,
) -> Panel:
    """The judges of a bundle: its own, or open_clip's.

    Raises:
        XBindError: a pool is needed or in the way, or a judge cannot be loaded.
    """
    verify(manifest)
    aligned = load_bind(manifest)
    view = load_convnet(manifest.part("view")) if manifest.has("view") else None
    reference_px = manifest.image_size_2d
    if manifest.has("judge"):
        if pool is not None or judges:
            raise XBindError(
                f"The bundle {manifest.name!r} has a judge with a pool of its own.\n"
                f"Leave out --pool and --judges."
            )
        independent = load_judges(manifest)
        own = make_self_judge(manifest, aligned, independent[0].pool)
        world = MiniWorld(independent[0], view)
        return Panel(
            independent, own, aligned, view, world, reference_px, SIZE, manifest.identity
        )  # fmt: skip
    prompts = _read_pool(pool)
    clips = [
        load_open_clip(name, prompts, allow_download=allow_download)
        for name in judges or OPEN_CLIPS
    ]
    own = make_self_judge(manifest, aligned, prompts)
    return Panel(
        clips, own, aligned, view, PoolWorld(prompts), reference_px, REAL_VIEW_PX,
        manifest.identity,
    )  # fmt: skip


def _read_pool(path: Path | None) -> list[str]:
    if path is None:
        raise XBindError(
            "This bundle has no judge of its own, so R@1 needs a pool of prompts.\n"
            "Give a JSON list of strings with --pool."
        )
    try:
        prompts = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise XBindError(
            f"{path} cannot be read ({error}).\nGive a JSON list to --pool."
        ) from error
    good = isinstance(prompts, list) and all(isinstance(p, str) and p.strip() for p in prompts)
    if not good or len(set(prompts)) != len(prompts) or len(prompts) < 2:
        raise XBindError(
            f"{path} is not a list of at least two different prompts.\n"
            f'Give a JSON list of strings to --pool, such as ["a red mug", "a blue car"].'
        )
    return prompts


def conclude(
    folder: EvaluationFolder,
    rows: Sequence[Mapping[str, Any]],
    runs: Sequence[Path],
    panel: Panel,
    not_judged: Mapping[str, str] | None = None,
) -> None:
    """Writes means, sheet and calibration, and prints the table.

    Args:
        folder: of the evaluation.
        rows: the judged objects.
        runs: those of them that have a mesh, for the sheet.
        panel: the judges.
        not_judged: name of each other run → why it was not judged.

    Raises:
        XBindError: a file cannot be read or written.
    """
    folder.write_means(rows, not_judged)
    if runs:
        save_rows(folder.path / records.SHEET, runs)
    if isinstance(panel.world, MiniWorld):
        held = folder.read_json(records.CALIBRATION)
        if held is None or held["judges"] != panel.identity:
            known = calibrate(panel.independent, panel.own, panel.aligned)
            held = {"judges": panel.identity, "known": known}
            folder.write_json(records.CALIBRATION, held)
    _show(folder, rows)


def _show(folder: EvaluationFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    console = PlainConsole(soft_wrap=True, width=WIDTH)
    means = records.means_by_kind(rows)
    kinds = [kind for kind in means if kind != "all"]
    shown = [*kinds, "all"] if len(kinds) > 1 else kinds
    table = Table("figure, mean ± standard error (objects)", *shown, box=None)
    for name in means["all"]:
        table.add_row(
            label_of(name),
            *(str(means[k][name]) if name in means[k] else "–" for k in shown),
        )
    console.print(table)
    calibration = folder.read_json(records.CALIBRATION)
    if calibration is not None:
        known = calibration["known"]
        names = [name for name in known["real"] if name != "objects"]
        table = Table("the judges on known objects", *names, box=None)
        for kind, row in known.items():
            cells = (f"{row[name]:.3f}" if name in row else "–" for name in names)
            table.add_row(f"{kind} ({row['objects']:.0f})", *cells)
        console.print(table)
    console.print(f"{folder.path / records.MEANS}")
