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
    mixes), `test` (16 texts, 8 pictures, 8 sounds) or `fig7` (8 of the last). A .csv or .jsonl file
    is a list as of `xbind batch`."""
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
