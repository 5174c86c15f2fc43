"""`xbind eval run`: make the objects of a list on a batch queue, and judge them."""

import json
import os
import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

import xbind
from xbind.batch.driver import Driver, Watcher
from xbind.batch.executor import Progress
from xbind.batch.jobs import Job, make_job
from xbind.batch.queue import Record
from xbind.cli.batch import make_executor
from xbind.cli.batch_progress import choose_watcher
from xbind.cli.eval_configs import EvalRunConfig
from xbind.cli.eval_lists import Listed, read_list
from xbind.cli.evaluate import conclude, make_panel
from xbind.cli.guard import say
from xbind.cli.numbers import set_number
from xbind.config.options import parts_named, precision_for
from xbind.config.variants import method_named, priors_of
from xbind.errors import XBindError
from xbind.evaluation.judging import judge
from xbind.evaluation.making import Making
from xbind.evaluation.records import EvaluationFolder
from xbind.evaluation.runs import NotJudged, Panel, PoolWorld, answers_for, mesh_digest
from xbind.files import atomic_write, disk_errors
from xbind.mini.judging import TARGET
from xbind.mini.targets import Target
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.run.checks import read_run_config
from xbind.system.device import choose_device

_SHARING = ("part", "workers", "ray", "config", "method")
"""Options that do not belong into the command that repeats an evaluation, or are added apart."""


def evaluate_run(config: EvalRunConfig) -> None:
    """Make and judge what is not there yet.

    Raises:
        XBindError: a prompt, a preset, or the folder cannot be used; or, after the others were
            made, an object failed.
    """
    torch.set_num_threads(config.threads)
    without = parts_named(config.without)
    method = method_named(config.preset, without, config.phase2_loss, config.method)
    listed = read_list(config.prompts)
    manifest = load_manifest(config.bundle).with_priors(*priors_of(config, method))
    device = choose_device(config.device).type
    folder = EvaluationFolder(config.out)
    folder.settle(_settings(config, listed, manifest, device))
    panel = make_panel(manifest, config.pool, config.judges, allow_download=config.allow_download)
    not_made = _make_and_judge(config, listed, folder, panel)
    names = {one.name for one in listed}
    rows = [row for row in folder.rows() if row["object"] in names]
    say(f"judged {len(rows)} of {len(listed)} objects")
    if not_made:
        lines = "\n".join(f"  {name}: {why}" for name, why in not_made.items())
        raise XBindError(
            f"{len(not_made)} of {len(listed)} objects have no figures:\n{lines}\n"
            f"Repeat the command to try them again; the others are kept."
        )
    if len(rows) < len(listed):
        say("The means follow when the other parts (--part) have judged the rest.")
        return
    runs = [folder.path / one.name for one in listed]
    conclude(folder, rows, [run for run in runs if mesh_digest(run)], panel)


def _make_and_judge(
    config: EvalRunConfig, listed: Sequence[Listed], folder: EvaluationFolder, panel: Panel
) -> dict[str, str]:
    """Makes and judges this part of the list.

    Returns:
        Name of each object that was not made or cannot be judged → why.
    """
    targets = {one.name: one.source for one in listed}
    unjudged: dict[str, str] = {}

    def ended(run: Path, failure: str | None) -> None:
        if isinstance(target := targets[run.name], Target):
            text = json.dumps(target.plain(), ensure_ascii=False)
            atomic_write(run / TARGET, f"{text}\n".encode())
        try:
            judge(run, folder, panel, say, failure)
        except NotJudged as error:
            unjudged[run.name] = " ".join(str(error).split("\n"))

    known = [row["object"] for row in folder.rows() if row.get("failure")]
    making = Making(folder.path, ended, known)
    queue, (k, n) = making.queue, config.share()
    with ExitStack() as stack:
        if not stack.enter_context(queue.drive((k, n))):
            say(f"The file system of {config.out} has no locks: start no other command there.")
        part = list(enumerate(listed))[k - 1 :: n]
        waiting = making.submit(_jobs(config, part, folder.path, panel))
        if waiting:
            executor = make_executor(config, queue, len(waiting))
            stack.callback(executor.close)
            shown = stack.enter_context(choose_watcher(len(waiting)))
            watcher = _Judging(shown, making)
            Driver(queue, executor, ids=set(waiting), watcher=watcher).run()
    ended_jobs = map(queue.record, waiting)
    failed = [r for r in ended_jobs if r.state != "done" and not r.has_no_surface]
    return unjudged | {r.job.name: " ".join((r.error or r.state).split("\n")) for r in failed}


def _jobs(
    config: EvalRunConfig, part: Sequence[tuple[int, Listed]], folder: Path, panel: Panel
) -> list[tuple[int, Job]]:
    """Objects as jobs, with their places in the list.

    Raises:
        NotJudged: the pool does not hold a prompt, or no figure compares it with a mesh.
        XBindError: a file of a prompt, or the run with its Phase I, cannot be read.
    """
    inputs = folder / "inputs"
    with disk_errors(inputs):
        inputs.mkdir(parents=True, exist_ok=True)
    jobs = []
    for order, one in part:
        phase1 = config.from_phase1 and config.from_phase1 / one.name
        if phase1 is not None:
            read_run_config(phase1)
        seed = config.seed if one.seed is None else one.seed
        run = replace(config.run_of(one.prompt(inputs), seed), from_phase1=phase1)
        if isinstance(panel.world, PoolWorld):  # another world reads the words of the finished run
            answers_for(folder / one.name, {"prompt": asdict(run.prompt)}, panel)
        jobs.append((order, make_job(run, one.name)))
    return jobs


class _Judging(Watcher):
    """Shows progress, and judges each run when it has ended."""

    def __init__(self, shown: Watcher, making: Making) -> None:
        self._shown, self._making = shown, making

    def progress(self, record: Record, event: Progress) -> None:
        self._shown.progress(record, event)

    def changed(self, record: Record) -> None:
        self._shown.changed(record)
        self._making.settle(record)


def _settings(
    config: EvalRunConfig, listed: Sequence[Listed], manifest: BundleManifest, device: str
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
        "prior_2d": manifest.chosen_2d,
        "prior_3d": manifest.chosen_3d,
        "device": device,
        "precision": precision_for(config.precision, device),
        "vram": config.vram,
        "prompts": [one.plain() for one in listed],
        "commits": [_commit()],
        "commands": [_command(config)],
    }


def _command(config: EvalRunConfig) -> str:
    """Returns the command that gives the same result, whatever its share of the work."""
    words = ["xbind", "eval", "run"]
    for field in fields(config):
        value = getattr(config, field.name)
        if value == field.default or field.name in _SHARING:
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if value is not True:
            words += map(str, value if isinstance(value, tuple) else [value])
    for name, number in config.method.items():
        words += set_number(name, number)
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
