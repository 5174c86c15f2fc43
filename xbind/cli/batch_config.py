"""What `xbind batch` can be asked for. Nothing heavy is imported here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Optional

import tyro

from xbind.cli.parts import parse_part
from xbind.config.batch import ATTEMPTS, MOST_WORKERS, parse_seeds
from xbind.config.options import (
    Changes,
    ConfigPath,
    DeviceChoice,
    EngineChoice,
    FilesConfig,
    GenerateConfig,
    Phase2Loss,
    PrecisionChoice,
    PromptConfig,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchConfig:
    """Make an object for every prompt of a list and every seed; goes on when repeated."""

    prompts: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="LIST")]]
    """Prompts: a .txt file with one text per line, or a .csv or .jsonl file with the fields `text`,
    `image`, `audio`, `depth`, their weights, and `seed`. Files are looked for beside the list."""
    out: Path
    """Folder of the batch. Finished runs are in its folder runs."""
    seeds: str = "0"
    """Seeds of every prompt: 0..3 (four seeds), 0,5,7, or one number. An entry with a `seed` of its
    own is made with that one only."""
    workers: Annotated[Optional[int], tyro.conf.arg(metavar="N")] = None  # noqa: UP045
    """Processes that share the work on this machine; by default one for each GPU, or one on a CPU.
    Each takes a core, and up to 1.7 GB of memory with the mini bundle."""
    attempts: int = ATTEMPTS
    """Processes that may die on an object before it fails. After an error it is not tried again."""
    ray: Annotated[Optional[str], tyro.conf.arg(metavar="ADDRESS")] = None  # noqa: UP045
    """Run on the nodes of the Ray cluster at this address, such as 10.0.0.1:6379; --out must be a
    folder that all of them share. Needs the extra `ray`."""
    part: Annotated[Optional[str], tyro.conf.arg(metavar="K/N")] = None  # noqa: UP045
    """Of N processes that share the list and --out, such as those of a SLURM array, this is the
    K-th."""
    preset: str = "default"
    """As of `xbind generate`."""
    config: ConfigPath = None
    """As of `xbind generate`, as is `--method.NAME VALUE`."""
    method: Changes = field(default_factory=dict)
    """What differs from the preset's numbers: dotted name → value."""
    without: Annotated[str, tyro.conf.arg(metavar="PARTS")] = ""
    """As of `xbind generate`."""
    phase2_loss: Annotated[Optional[Phase2Loss], tyro.conf.arg(metavar="{sds,cds}")] = None  # noqa: UP045
    """As of `xbind generate`."""
    bundle: str = "mini"
    """The frozen networks: `mini`, or the folder of a bundle."""
    prior_2d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """As of `xbind generate`."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """As of `xbind generate`."""
    device: DeviceChoice = "auto"
    """Where to compute. With `auto` and `cuda` the workers share all GPUs; `cuda:1` is the second
    one only."""
    engine: EngineChoice = "auto"
    """What computes the frozen networks, as of `xbind generate`."""
    precision: PrecisionChoice = "auto"
    """Of the frozen networks, as of `xbind generate`."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB of memory that each worker may take, as of `xbind generate`."""
    threads: int = 1
    """Threads that compute in each worker."""
    files: Annotated[FilesConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=FilesConfig)
    """How the mesh files are written."""

    def __post_init__(self) -> None:
        parse_seeds(self.seeds)
        if self.workers is not None and not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"--workers must be in 1 … {MOST_WORKERS}, got {self.workers}")
        if self.attempts < 1:
            raise ValueError(f"--attempts must be at least 1, got {self.attempts}")
        if self.ray is not None and not self.ray.strip():
            raise ValueError("--ray is empty: give the address of a cluster, such as 10.0.0.1:6379")
        self.share()
        self.run_of(PromptConfig(text="-"), 0)  # checks the options of the runs

    def share(self) -> tuple[int, int]:
        """K and N."""
        return parse_part(self.part)

    def run_of(self, prompt: PromptConfig, seed: int) -> GenerateConfig:
        """The settings of one run of the batch."""
        return GenerateConfig(
            prompt=prompt, seed=seed, preset=self.preset, method=self.method, without=self.without,
            phase2_loss=self.phase2_loss, bundle=self.bundle, prior_2d=self.prior_2d,
            prior_3d=self.prior_3d,
            device=self.device, engine=self.engine, precision=self.precision, vram=self.vram,
            threads=self.threads, files=self.files,
        )  # fmt: skip
