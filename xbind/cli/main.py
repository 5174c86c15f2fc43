"""`xbind`: a prompt of any modality in, a textured 3D mesh out.

Nothing heavy is imported before the flags are known to be good, so that `--help` answers at once.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import tyro

import xbind
from xbind.cli.eval_configs import EvalConfig, EvalReportConfig, EvalRunConfig
from xbind.cli.guard import WRONG_FLAGS, guard
from xbind.config.options import GenerateConfig, Precision, PromptConfig
from xbind.importing.sources import IMAGEBIND_FILE, UNCLIP_ID, ZERO123_ID
from xbind.run.checks import CONFIG, holds_run
from xbind.run.resuming import started_config


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptWords(PromptConfig):
    """A prompt whose text may be given without its option."""

    words: tyro.conf.Positional[Annotated[Optional[str], tyro.conf.arg(metavar="[TEXT]")]] = None  # noqa: UP045
    """Short for --text."""

    def __post_init__(self) -> None:
        if self.words is not None:
            if self.text not in (None, self.words):
                raise ValueError(
                    f"{self.words!r} is given beside --text {self.text!r}: "
                    f"give one of them, in quotes if it has several words"
                )
            object.__setattr__(self, "text", self.words)
        PromptConfig.__post_init__(self)  # `super()` does not work in a class with slots


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateCommand(GenerateConfig):
    """Make one textured mesh from one prompt."""

    prompt: Annotated[PromptWords, tyro.conf.OmitArgPrefixes]
    """What the object should be."""

    @staticmethod
    def of(settings: GenerateConfig) -> "GenerateCommand":
        """The command that asks for these settings."""
        prompt = PromptWords(**_values(settings.prompt, PromptConfig))
        return GenerateCommand(**_values(settings, GenerateConfig) | {"prompt": prompt})

    def settings(self) -> GenerateConfig:
        """Without what is short for something else."""
        prompt = PromptConfig(**_values(self.prompt, PromptConfig))
        return GenerateConfig(**_values(self, GenerateConfig) | {"prompt": prompt})


def _values(settings: object, of: type[GenerateConfig] | type[PromptConfig]) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(of)}


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorConfig:
    """Say what is installed here, what would run and why, and what is in the way."""

    bundle: str = "mini"
    """The bundle to check: `mini`, or the folder of a bundle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanConfig:
    """Say what a run would need of a GPU's memory, phase by phase; needs no weights and no GPU."""

    preset: str = "default"
    """The preset to plan."""
    bundle: str = "mini"
    """The bundle to plan with: `mini`, or the folder of a bundle."""
    bundle_config: Optional[Literal["sd21", "reduced"]] = None  # noqa: UP045
    """Plan with the shapes of the public networks instead, which need not be here; `reduced` is as
    deep and a tenth as wide."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB that it shall fit into; what it saves for that is what `xbind generate --vram` saves."""
    precision: Precision = "float32"
    """Of the frozen networks, before anything is saved."""
    engine: Literal["engines", "eager"] = "engines"
    """Networks in engines, each loaded for its phase, or in eager torch, which shares one float32
    copy of all."""

    def __post_init__(self) -> None:
        if self.vram is not None and not 0 < self.vram < float("inf"):
            raise ValueError(f"--vram must be a positive number of GiB, got {self.vram}")
        if self.bundle_config is not None and self.bundle != "mini":
            raise ValueError("--bundle and --bundle-config are given: leave one of them out")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowBundleConfig:
    """Print what a bundle holds, and check its files against their hashes."""

    bundle: tyro.conf.Positional[str] = "mini"
    """`mini`, or the folder of a bundle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportBundleConfig:
    """Make a bundle of SD 2.1-unCLIP, Zero-1-to-3, ImageBind and CLIP; goes on when repeated."""

    unclip: str = UNCLIP_ID
    """Stable Diffusion 2.1-unCLIP (H): a folder of diffusers, a checkpoint in one file
    (.safetensors, or .ckpt, of which nothing is run), or a hub id."""
    zero123: str = ZERO123_ID
    """Zero-1-to-3 XL: a folder, a file or a hub id."""
    imagebind: Path = Path(IMAGEBIND_FILE)
    """ImageBind-huge: the file of its authors. Its licence forbids commercial use."""
    clip: str = ""
    """CLIP ViT-H/14, for the similarity loss: a folder, a file or a hub id; by default the image
    encoder of --unclip."""
    tokenizer: str = ""
    """A folder or hub id with CLIP's vocab.json and merges.txt; by default --unclip's."""
    taesd: str = ""
    """TAESD, a small decoder that --preset fast takes where it is: a folder of diffusers, a
    .safetensors file or a hub id, such as madebyollin/taesd; by default left out."""
    out: Path = Path("sd21")
    """Folder of the bundle, about 8.5 GB; then name it with --bundle."""
    allow_download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fetch hub ids that are not on this machine yet, about 13 GB; else nothing is fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomBundleConfig:
    """Make a bundle of the public networks' shapes with random weights, to try out a machine."""

    out: Path = Path("sd21-random")
    """Folder of the bundle: about 8.5 GB, or 60 MB with --reduced."""
    reduced: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """As deep, a tenth as wide, on pictures of 64 pixels."""
    seed: int = 0
    """Seed of the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListEnginesConfig:
    """List the compiled graphs that are kept, and which of them still fit this installation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyEnginesConfig:
    """Compare every byte of every compiled graph with its hash."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GcEnginesConfig:
    """Remove compiled graphs that are damaged, unfinished, or for another installation."""

    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Remove all of them; what a run needs is built again."""


Command = (
    GenerateConfig
    | EvalRunConfig
    | EvalReportConfig
    | EvalConfig
    | DoctorConfig
    | PlanConfig
    | ShowBundleConfig
    | ImportBundleConfig
    | RandomBundleConfig
    | ListEnginesConfig
    | VerifyEnginesConfig
    | GcEnginesConfig
)
COMMANDS: dict[str, type[Command]] = {
    "generate": GenerateConfig,
    "eval run": EvalRunConfig,
    "eval report": EvalReportConfig,
    "eval": EvalConfig,
    "doctor": DoctorConfig,
    "plan": PlanConfig,
    "bundle show": ShowBundleConfig,
    "bundle import": ImportBundleConfig,
    "bundle random": RandomBundleConfig,
    "engines list": ListEnginesConfig,
    "engines verify": VerifyEnginesConfig,
    "engines gc": GcEnginesConfig,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and run one command.

    Exit status: 0 done, 1 refused with a message, 2 wrong flags, 130 interrupted by Ctrl-C, 141
    the output was closed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command: Command | None = None
    earlier: int | None = None

    def work() -> None:
        nonlocal command, earlier
        command = parse(words)
        earlier = started_at(command)
        run(command)

    guard("xbind", words, work, lambda: advice_to_resume(command, words, earlier))


def parse(words: list[str]) -> Command:
    """The command that `words` ask for; exits for `--help` and for what cannot be understood."""
    for name, config in COMMANDS.items():
        count = len(name.split())
        if words[:count] == name.split():
            if config is GenerateConfig:
                return _parse_generate(words[count:])
            return tyro.cli(
                config, args=words[count:], prog=f"xbind {name}", description=config.__doc__
            )
    if words in (["--version"], ["-V"]):
        sys.stdout.write(f"xbind {xbind.__version__}\n")
        sys.exit(0)
    if words[:1] in ([], ["-h"], ["--help"]):
        sys.stdout.write(overview())
        sys.exit(0 if words else WRONG_FLAGS)
    sys.stderr.write(f"xbind: no command {words[0]!r}.\n\n{overview()}")
    sys.exit(WRONG_FLAGS)


def _parse_generate(words: list[str]) -> GenerateConfig:
    """The run that is asked for; what `--resume` is not given, it takes from the run's folder."""
    if any(word == "--prompt" or word.startswith("--prompt=") for word in words):
        sys.stderr.write(
            'xbind generate: there is no --prompt. Give words with --text, such as --text "a red '
            'mug", and files with --image, --audio or --depth.\n'
        )
        sys.exit(WRONG_FLAGS)
    prog, told = "xbind generate", GenerateConfig.__doc__
    command = tyro.cli(GenerateCommand, args=words, prog=prog, description=told)
    if command.resume and holds_run(command.out):
        started = replace(started_config(command.out), resume=False)  # else tyro has no --resume
        default = GenerateCommand.of(started)
        command = tyro.cli(
            GenerateCommand, args=words, prog=prog, description=told, default=default
        )
    return command.settings()


def overview() -> str:
    """What `xbind --help` prints."""
    lines = [f"  {name:<16}{config.__doc__}" for name, config in COMMANDS.items()]
    return "\n".join(
        [
            "usage: xbind COMMAND [OPTIONS]",
            "",
            "A prompt of any modality to a textured 3D mesh.",
            "",
            *lines,
            "",
            'First steps:  xbind generate --text "a red mug" --out out/mug',
            "All options:  xbind COMMAND --help",
            "The version:  xbind --version",
            "",
        ]
    )


def run(command: Command) -> None:
    """Do it. What is heavy is imported here, one command's needs only."""
    match command:
        case GenerateConfig():
            from xbind.run.preflight import check_generate

            check_generate(command)  # before the import of torch, which takes a while
            import torch

            from xbind.pipeline import generate
            from xbind.run.progress import choose_reporter

            torch.set_num_threads(command.threads)
            with choose_reporter() as reporter:
                generate(command, reporter)
        case DoctorConfig(bundle=bundle):
            from xbind.cli.doctor import doctor

            sys.exit(doctor(bundle))
        case PlanConfig():
            from xbind.cli.plan import show_plan

            show_plan(command)
        case ShowBundleConfig(bundle=bundle):
            from xbind.cli.bundle import show

            show(bundle)
        case ImportBundleConfig():
            from xbind.cli.bundle import import_public

            import_public(command)
        case RandomBundleConfig(out=out, reduced=small, seed=seed):
            from xbind.cli.bundle import make_random

            make_random(out, small=small, seed=seed)
        case EvalRunConfig() | EvalReportConfig() | EvalConfig():
            _run_eval(command)
        case _:
            _run_engines(command)


def _run_eval(command: EvalRunConfig | EvalReportConfig | EvalConfig) -> None:
    from xbind.cli import evaluate

    match command:
        case EvalRunConfig():
            evaluate.evaluate_run(command)
        case EvalReportConfig():
            evaluate.evaluate_report(command)
        case EvalConfig():
            evaluate.evaluate(command)


def _run_engines(command: Command) -> None:
    from xbind.cli import engines

    match command:
        case ListEnginesConfig():
            engines.show()
        case VerifyEnginesConfig():
            sys.exit(engines.verify())
        case GcEnginesConfig(all=everything):
            engines.gc(everything=everything)


def started_at(command: Command) -> int | None:
    """When the run in the folder of `xbind generate` was started, in ns; None if there is none."""
    if not isinstance(command, GenerateConfig):
        return None
    try:
        return (command.out / CONFIG).stat().st_mtime_ns
    except OSError:
        return None


def advice_to_resume(command: Command | None, words: list[str], earlier: int | None) -> str:
    """What to say after "interrupted": the command that goes on from the last checkpoint.

    Args:
        command: what was interrupted; None if it was not known yet.
        words: the command line.
        earlier: `started_at` before the command ran: a run that was there then is another one.
    """
    if isinstance(command, EvalRunConfig):
        return f". Continue with the same command:\n  {shlex.join(['xbind', *words])}"
    if not isinstance(command, GenerateConfig):
        return "."
    started = started_at(command)
    if started is None or (started == earlier and not command.resume):
        return " before the run was started; nothing was written."
    again = ["xbind", "generate", "--resume", "--out", str(command.out)]
    if command.threads != 1:
        again += ["--threads", str(command.threads)]
    return f". Continue from the last checkpoint with:\n  {shlex.join(again)}"
