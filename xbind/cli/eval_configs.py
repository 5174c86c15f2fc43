"""Options of `xbind eval`. Imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Optional

import tyro

from xbind.cli.parts import parse_part
from xbind.config.batch import MOST_WORKERS
from xbind.config.options import (
    Changes,
    ConfigPath,
    DeviceChoice,
    EngineChoice,
    GenerateConfig,
    Phase2Loss,
    PrecisionChoice,
    PromptConfig,
    check_threads,
)
from xbind.config.threads import ThreadCount
from xbind.evaluation.paper import PaperTable

SHEET_ENDINGS = (".png", ".jpg", ".jpeg")
"""Endings of contact sheets."""
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
    mixes), `test` (16 texts, 8 pictures, 8 sounds), `test_texts` and `test_other` (its texts, and
    the rest of it), `test_half` (every second text) or `fig7` (8 of `test`). A .csv
    or .jsonl file is a list as of `xbind batch`."""
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
    bundle: str = "mini"
    """The frozen networks: `mini`, or the folder of a bundle. One without a judge of its own needs
    --pool, which holds the texts of the list."""
    pool: _Pool = None
    """As of `xbind eval`."""
    judges: _Judges = ()
    """As of `xbind eval`."""
    allow_download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """As of `xbind eval`."""
    prior_2d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """As of `xbind generate`."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """As of `xbind generate`."""
    seed: int = 0
    """Seed of every run; an entry of a .csv or .jsonl list may have its own."""
    workers: Annotated[Optional[int], tyro.conf.arg(metavar="N")] = None  # noqa: UP045
    """Processes that make the objects, as of `xbind batch`; this one judges them."""
    ray: Annotated[Optional[str], tyro.conf.arg(metavar="ADDRESS")] = None  # noqa: UP045
    """Make the objects on a Ray cluster, as of `xbind batch`."""
    part: Annotated[Optional[str], tyro.conf.arg(metavar="K/N")] = None  # noqa: UP045
    """Share of the list of this command: the K-th of N."""
    device: DeviceChoice = "auto"
    """Where to compute, as of `xbind batch`. Judges compute on the CPU."""
    engine: EngineChoice = "auto"
    """As of `xbind generate`."""
    precision: PrecisionChoice = "auto"
    """Of the frozen networks, as of `xbind generate`."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB of memory that each worker may take, as of `xbind generate`."""
    threads: ThreadCount = 1
    """Threads that compute in each process; `auto` as of `xbind generate`."""

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"--workers must be in 1 … {MOST_WORKERS}, got {self.workers}")
        if self.ray is not None and not self.ray.strip():
            raise ValueError("--ray is empty: give the address of a cluster, such as 10.0.0.1:6379")
        self.share()
        self.run_of(PromptConfig(text="-"), self.seed)  # checks the options of the runs

    def share(self) -> tuple[int, int]:
        """K and N."""
        return parse_part(self.part)

    def run_of(self, prompt: PromptConfig, seed: int) -> GenerateConfig:
        """The settings of one run, without its Phase I of another run."""
        return GenerateConfig(
            prompt=prompt, seed=seed, preset=self.preset, method=self.method, without=self.without,
            phase2_loss=self.phase2_loss, bundle=self.bundle, prior_2d=self.prior_2d,
            prior_3d=self.prior_3d,
            device=self.device, engine=self.engine, precision=self.precision, vram=self.vram,
            threads=self.threads,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalReportConfig:
    """Tables of several methods' evaluations, as Markdown and as data, and a contact sheet."""

    methods: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="[LABEL=]FOLDER[,FOLDER…] …")]
    ] = ()
    """Methods, which are compared on the prompts and seeds that all of them have; the first one is
    what the others are compared with. A method is a folder of `xbind eval run`, or several with
    commas between them, which differ in seed or list. Without any, the tables are written from
    --results."""
    results: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """A JSON file for all figures, under the name of --section; other sections of it stay."""
    document: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """A Markdown file to write the tables into, between the marks of --section."""
    section: str = ""
    """Name of the marks, <!-- begin NAME --> and <!-- end NAME -->, and in --results. Without
    methods: by default all sections of --results."""
    paper: Annotated[Optional[PaperTable], tyro.conf.arg(metavar="{table-1,table-2}")] = None  # noqa: UP045
    """Show the figures of a table of the paper beside, of methods with the same name there."""
    sheet: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """A picture (.png or .jpg) of the same prompts by all methods, with the lowest seed."""
    rows: int = 10
    """Prompts on it, evenly taken from the list."""
    normals: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show normal maps on it too."""

    def __post_init__(self) -> None:
        if not self.methods and self.results is None:
            raise ValueError("no folder: give folders that `xbind eval run` wrote")
        if self.rows < 1:
            raise ValueError(f"--rows must be at least 1, got {self.rows}")
        if self.sheet is not None and self.sheet.suffix.lower() not in SHEET_ENDINGS:
            raise ValueError(f"--sheet must end in {', '.join(SHEET_ENDINGS)}, got {self.sheet}")
        if self.methods:
            if (self.document is None and self.results is None) != (not self.section):
                raise ValueError("--section names the part of --document and --results: give both")
        elif self.sheet is not None or self.paper is not None:
            raise ValueError("--sheet and --paper need methods: give their folders")
