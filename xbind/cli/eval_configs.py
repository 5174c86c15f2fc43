"""Options of `xbind eval`. Imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Optional

import tyro

from xbind.cli.parts import parse_part
from xbind.config.options import (
    Changes,
    ConfigPath,
    EngineChoice,
    Phase2Loss,
    check_threads,
    parts_named,
)
from xbind.config.threads import ThreadCount

_Pool = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")]  # noqa: UP045
_Judges = Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODEL …")]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig:
    """Judge finished runs: CLIP-R, CLIP-I, ARCC, and figures of shape where the truth is known."""

    paths: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN|FOLDER")]]
    """Runs, or folders that hold runs."""
    out: Annotated[Optional[Path], tyro.conf.arg(metavar="FOLDER")] = None  # noqa: UP045
    """Folder of scores.jsonl, means.json and sheet.png; by default the folder given, if it is the
    only one."""
    bundle: str = "mini"
    """The bundle that the runs were made with: `mini`, or the folder of a bundle."""
    pool: _Pool = None
    """A JSON list of prompts that R@1 is taken among; `mini` has its own 136."""
    judges: _Judges = ()
    """Of a bundle without a judge of its own: models of open_clip, as
    ARCHITECTURE:WEIGHTS@FILE with the weights in a file, such as ViT-B-32:openai@FILE; ARCHITECTURE
    alone stands for OpenAI's weights, which are downloaded."""
    allow_download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Let open_clip fetch weights; without --judges those of ViT-B-32, ViT-B-16 and ViT-L-14."""
    threads: ThreadCount = 1
    """Threads that compute; `auto` as of `xbind generate`."""

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("no folder: give the folder of a run, or one that holds runs")
        if self.out is None and len(self.paths) != 1:
            raise ValueError("several folders are judged together: say where the scores go, --out")
        check_threads(self.threads)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalRunConfig:
    """Generate from a list of prompts and judge; goes on when repeated, and can be shared."""

    out: Path
    """Folder of the runs and their figures."""
    prompts: str = "tuning"
    """A list: a file, or a shipped one: `tuning` (24 texts), `tuning_other` (pictures, sounds and
    mixes), `test` (16 texts, 8 pictures, 8 sounds) or `fig7` (8 of the last)."""
    preset: str = "default"
    """As of `xbind generate`; a wrong name lists the right ones."""
    config: ConfigPath = None
    """As of `xbind generate`, as is `--method.NAME VALUE`."""
    method: Changes = field(default_factory=dict)
    """Changes of the preset's numbers: dotted name → value."""
    without: Annotated[str, tyro.conf.arg(metavar="PARTS")] = ""
    """Leave out parts of the method (Fig. 7): `stereo`, `planar`, `three-phase`, `ms`, or several
    with commas between them."""
    phase2_loss: Annotated[Optional[Phase2Loss], tyro.conf.arg(metavar="{sds,cds}")] = None  # noqa: UP045
    """Loss of the 2D prior in Phase II, instead of the method's (Fig. 6)."""
    from_phase1: Annotated[Optional[Path], tyro.conf.arg(metavar="FOLDER")] = None  # noqa: UP045
    """Another folder of `xbind eval run` with the same prompts: start where its Phases I ended."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """As of `xbind generate`."""
    seed: int = 0
    """Seed of every run."""
    part: Annotated[Optional[str], tyro.conf.arg(metavar="K/N")] = None  # noqa: UP045
    """Share of the work of this process: the K-th of N."""
    engine: EngineChoice = "auto"
    """As of `xbind generate`."""
    threads: ThreadCount = 1
    """Threads that compute; `auto` as of `xbind generate`."""

    def __post_init__(self) -> None:
        parts_named(self.without)
        self.share()
        check_threads(self.threads)

    def share(self) -> tuple[int, int]:
        """K and N."""
        return parse_part(self.part)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalReportConfig:
    """Tables of several methods' evaluations, as Markdown, and a contact sheet."""

    paths: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FOLDER")]]
    """Folders of `xbind eval run` with the same prompts, one for each method."""
    document: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """A Markdown file to write the tables into, between the marks of --section."""
    section: str = ""
    """Name of the marks: <!-- begin NAME --> and <!-- end NAME -->."""
    sheet: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """A picture of the same prompts by all methods."""
    rows: int = 10
    """Prompts on it, evenly taken from the list."""
    normals: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show normal maps on it too."""

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("no folder: give folders that `xbind eval run` wrote")
        if self.rows < 1:
            raise ValueError(f"--rows must be at least 1, got {self.rows}")
        if (self.document is None) != (not self.section):
            raise ValueError("--document and --section go together: give both or neither")
