"""`xbind eval`: generate, judge, and lay results beside each other."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

import xbind
from xbind.cli.eval_configs import EvalConfig, EvalReportConfig, EvalRunConfig
from xbind.cli.guard import say
from xbind.config.options import GenerateConfig, parts_named
from xbind.config.variants import method_named
from xbind.errors import XBindError, printable
from xbind.evaluation import compare as report
from xbind.evaluation import records
from xbind.evaluation.judges import OPEN_CLIPS, load_open_clip, make_self_judge
from xbind.evaluation.judging import judge, judge_all
from xbind.evaluation.labels import label_of
from xbind.evaluation.records import EvaluationFolder
from xbind.evaluation.runs import Panel, PoolWorld, find_runs, mesh_digest
from xbind.evaluation.sheets import save_rows
from xbind.files import atomic_write, disk_errors
from xbind.mini.calibration import calibrate
from xbind.mini.judging import SIZE, TARGET, MiniWorld, load_judge
from xbind.mini.targets import Target, list_named, prompt_of, read_targets
from xbind.networks.load import load_bind, load_convnet
from xbind.networks.manifest import BundleManifest, load_manifest, verify
from xbind.pipeline import generate
from xbind.run.console import PlainConsole
from xbind.run.progress import choose_reporter
from xbind.run.resuming import started_config
from xbind.scene.mesh.tet_shape import EmptySurface

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
    _conclude(folder, rows, shown, panel, outcome.not_judged)
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


def evaluate_run(config: EvalRunConfig) -> None:
    """Generate and judge what is not there yet.

    Raises:
        XBindError: a prompt, a preset, or the folder cannot be used.
    """
    torch.set_num_threads(config.threads)
    without = parts_named(config.without)
    method = method_named(config.preset, without, config.phase2_loss, config.method)
    targets = read_targets(list_named(config.prompts))
    manifest = load_manifest("mini").with_prior_3d(config.prior_3d or method.prior_3d)
    folder = EvaluationFolder(config.out)
    folder.settle(_settings(config, targets, manifest))
    panel = make_panel(manifest)
    k, n = config.share()
    for target in targets[k - 1 :: n]:
        _generate_and_judge(target, config, folder, panel)
    names = {target.name for target in targets}
    rows = [row for row in folder.rows() if row["object"] in names]
    say(f"judged {len(rows)} of {len(targets)} objects")
    if len(rows) < len(targets):
        say("The means follow when the other parts (--part) have judged the rest.")
        return
    runs = [folder.path / target.name for target in targets]
    _conclude(folder, rows, [run for run in runs if mesh_digest(run)], panel)


def evaluate_report(config: EvalReportConfig) -> None:
    """Write tables, and a sheet.

    Raises:
        XBindError: a folder holds no evaluation, or the document has no such marks.
    """
    results = report.in_common([report.read_result(path) for path in config.paths])
    text = report.to_markdown(results)
    if config.sheet is not None:
        report.save_sheet(config.sheet, results, rows=config.rows, normals=config.normals)
    if config.document is None:
        sys.stdout.write(printable(text))
    else:
        report.write_section(config.document, config.section, text)


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
    reference_px = manifest.raw["image_size"]["unclip"]
    if manifest.has("judge"):
        if pool is not None or judges:
            raise XBindError(
                f"The bundle {manifest.name!r} has a judge with a pool of its own.\n"
                f"Leave out --pool and --judges."
            )
        judge = load_judge(manifest)
        own = make_self_judge(manifest, aligned, judge.pool)
        world = MiniWorld(judge, view)
        return Panel([judge], own, aligned, view, world, reference_px, SIZE, manifest.identity)
    prompts = _read_pool(pool)
    independent = [
        load_open_clip(name, prompts, allow_download=allow_download)
        for name in judges or OPEN_CLIPS
    ]
    own = make_self_judge(manifest, aligned, prompts)
    return Panel(
        independent, own, aligned, view, PoolWorld(prompts), reference_px, REAL_VIEW_PX,
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


def _settings(
    config: EvalRunConfig, targets: Sequence[Target], manifest: BundleManifest
) -> dict[str, Any]:
    """Returns the settings that decide the result, and its provenance."""
    return {
        "preset": config.preset,
        "changes": dict(config.method),
        "without": list(parts_named(config.without)),
        "phase2_loss": config.phase2_loss,
        "from_phase1": os.path.realpath(config.from_phase1) if config.from_phase1 else None,
        "seed": config.seed,
        "bundle_sha256": manifest.digest,
        "prior_3d": manifest.chosen_3d,
        "prompts": [target.plain() for target in targets],
        "commits": [_commit()],
        "commands": [_command(config)],
    }


def _command(config: EvalRunConfig) -> str:
    """Returns the command that gives the same result, whatever its share of the work."""
    words = ["xbind", "eval", "run"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default or field.name in ("part", "config", "method"):
            continue
        words += [f"--{field.name.replace('_', '-')}", str(value)]
    for name, number in config.method.items():
        values = number if isinstance(number, list) else [number]
        words += [f"--method.{name}", *map(str, values)]
    return shlex.join(words)


def _commit() -> str:
    """Returns the commit of the checkout, or the version of the installed package."""
    source = Path(xbind.__file__).parent.parent
    if not (source / ".git").exists():
        return f"version {xbind.__version__}"
    asked = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"version {xbind.__version__}"
    return done.stdout.strip()


def _generate_and_judge(
    target: Target, config: EvalRunConfig, folder: EvaluationFolder, panel: Panel
) -> None:
    run, inputs = folder.path / target.name, folder.path / "inputs"
    run.mkdir(exist_ok=True)
    inputs.mkdir(exist_ok=True)
    text = json.dumps(target.plain(), ensure_ascii=False)
    atomic_write(run / TARGET, f"{text}\n".encode())
    if any(row["object"] == run.name and row.get("failure") for row in folder.rows()):
        return
    failure = None
    if not (run / "report.html").exists():
        resume = (run / "config.json").exists()
        threads = started_config(run).threads if resume else config.threads
        wanted = GenerateConfig(
            prompt=prompt_of(target, inputs), out=run, preset=config.preset,
            method=config.method, without=config.without, phase2_loss=config.phase2_loss,
            from_phase1=config.from_phase1 and config.from_phase1 / target.name,
            prior_3d=config.prior_3d, seed=config.seed, engine=config.engine,
            threads=threads, resume=resume,
        )  # fmt: skip
        try:
            with choose_reporter() as reporter:
                generate(wanted, reporter)
        except EmptySurface as error:  # a method may fail: that is its result
            failure = str(error).splitlines()[0]
    judge(run, folder, panel, say, failure)


def _conclude(
    folder: EvaluationFolder,
    rows: Sequence[Mapping[str, Any]],
    runs: Sequence[Path],
    panel: Panel,
    not_judged: Mapping[str, str] | None = None,
) -> None:
    """Means, sheet, calibration, and the table."""
    folder.write_means(rows, not_judged)
    if runs:
        save_rows(folder.path / records.SHEET, runs)
    if isinstance(panel.world, MiniWorld):
        held = folder.read_json(records.CALIBRATION)
        if held is None or held["judges"] != panel.identity:
            known = calibrate(panel.world.judge, panel.own, panel.aligned)
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
