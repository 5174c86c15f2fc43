"""Judges runs one by one and records what became of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from xbind.errors import XBindError
from xbind.evaluation.labels import in_table_order, label_of
from xbind.evaluation.records import EvaluationFolder
from xbind.evaluation.runs import (
    MESH,
    FoundRuns,
    NotJudged,
    Panel,
    answers_for,
    judge_run,
    mesh_digest,
)
from xbind.files import DiskError
from xbind.run.folder import read_run_config


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of each run."""

    judged: list[Path] = field(default_factory=list)
    not_judged: dict[str, str] = field(default_factory=dict)
    """Name of a run → why."""
    unreadable: list[str] = field(default_factory=list)
    """Runs that are damaged or lack a file."""

    def reasons(self) -> str:
        """A line for each run that was not judged."""
        return "\n".join(f"not judged {name}: {why}" for name, why in self.not_judged.items())


def judge_all(
    found: FoundRuns, folder: EvaluationFolder, panel: Panel, say: Callable[[str], None]
) -> Outcome:
    """Judges all runs; one that cannot be judged does not end the evaluation.

    Args:
        found: the runs. An unfinished one is judged if `folder` holds that nothing came out of it.
        folder: where the scores go.
        panel: the judges.
        say: called with a line for each object that is judged.

    Raises:
        DiskError: a score cannot be written.
    """
    outcome = Outcome()
    failures = {row["object"]: row["failure"] for row in folder.rows() if row.get("failure")}
    for run in (*found.finished, *found.unfinished):
        is_finished = run in found.finished
        if not is_finished and run.name not in failures:
            outcome.not_judged[run.name] = (
                f"it is not finished: it has no {MESH}. "
                f"Finish it: repeat its `xbind generate` command with --resume."
            )
            continue
        try:
            judge(run, folder, panel, say, None if is_finished else failures[run.name])
        except DiskError:
            raise
        except XBindError as error:
            outcome.not_judged[run.name] = " ".join(str(error).split("\n"))
            if not isinstance(error, NotJudged):
                outcome.unreadable.append(run.name)
        else:
            outcome.judged.append(run)
    return outcome


def judge(
    run: Path,
    folder: EvaluationFolder,
    panel: Panel,
    say: Callable[[str], None],
    failure: str | None = None,
) -> None:
    """Judges a run, unless its mesh was judged by the same judges.

    Args:
        run: its folder.
        folder: where the scores go.
        panel: the judges.
        say: called with a line if it is judged.
        failure: why nothing came out of it.

    Raises:
        NotJudged: nothing can be compared with its prompt.
        XBindError: a file of it cannot be read, or the scores cannot be written.
    """
    answers_for(run, read_run_config(run), panel)
    for row in folder.rows():
        same = row["object"] == run.name and row["judges"] == panel.identity
        if same and row["mesh"] == mesh_digest(run) and row.get("failure") == failure:
            return
    row = judge_run(run, panel, failure=failure)
    folder.append(row)
    name = in_table_order(row["figures"])[0]
    say(f"judged {run.name}: {label_of(name)} {row['figures'][name]:.2f}")
