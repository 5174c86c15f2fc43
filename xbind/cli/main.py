"""`xbind`: a prompt of any modality in, a textured 3D mesh out.

Nothing heavy is imported before the flags are known to be good, so that `--help` answers at once.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import tyro

import xbind
from xbind.cli.batch_config import BatchConfig
from xbind.cli.eval_configs import EvalConfig, EvalReportConfig, EvalRunConfig
from xbind.cli.guard import WRONG_FLAGS, guard
from xbind.cli.numbers import split_numbers, with_numbers
from xbind.cli.options import (
    DiagnoseEnginesConfig,
    DoctorConfig,
    ExportConfig,
    GcEnginesConfig,
    GenerateCommand,
    ImportBundleConfig,
    ListEnginesConfig,
    PlanConfig,
    RandomBundleConfig,
    ShowBundleConfig,
    ShowConfigConfig,
    VerifyEnginesConfig,
)
from xbind.config.options import GenerateConfig
from xbind.config.serve import ServeConfig
from xbind.run.checks import CONFIG, holds_run
from xbind.run.resuming import started_config

Command = (
    GenerateConfig
    | BatchConfig
    | ExportConfig
    | ServeConfig
    | EvalRunConfig
    | EvalReportConfig
    | EvalConfig
    | DoctorConfig
    | PlanConfig
    | ShowConfigConfig
    | ShowBundleConfig
    | ImportBundleConfig
    | RandomBundleConfig
    | ListEnginesConfig
    | VerifyEnginesConfig
    | DiagnoseEnginesConfig
    | GcEnginesConfig
)
COMMANDS: dict[str, type[Command]] = {
    "generate": GenerateConfig,
    "batch": BatchConfig,
    "export": ExportConfig,
    "serve": ServeConfig,
    "eval run": EvalRunConfig,
    "eval report": EvalReportConfig,
    "eval": EvalConfig,
    "doctor": DoctorConfig,
    "plan": PlanConfig,
    "config show": ShowConfigConfig,
    "bundle show": ShowBundleConfig,
    "bundle import": ImportBundleConfig,
    "bundle random": RandomBundleConfig,
    "engines list": ListEnginesConfig,
    "engines verify": VerifyEnginesConfig,
    "engines diagnose": DiagnoseEnginesConfig,
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
            prog, words = f"xbind {name}", words[count:]
            if config not in (BatchConfig, EvalRunConfig, PlanConfig, ShowConfigConfig):
                return tyro.cli(config, args=words, prog=prog, description=config.__doc__)
            numbers, others = split_numbers(words, prog)
            parsed: Any = tyro.cli(config, args=others, prog=prog, description=config.__doc__)
            return with_numbers(parsed, numbers, others, prog)
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
    numbers, words = split_numbers(words, prog)
    command = tyro.cli(GenerateCommand, args=words, prog=prog, description=told)
    if command.resume and holds_run(command.out):
        started = replace(started_config(command.out), resume=False)  # else tyro has no --resume
        default = GenerateCommand.of(started)
        command = tyro.cli(
            GenerateCommand, args=words, prog=prog, description=told, default=default
        )
    return with_numbers(command, numbers, words, prog).settings()


def overview() -> str:
    """Returns the text of `xbind --help`."""
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
            from xbind.api import run_config
            from xbind.run.progress import choose_reporter

            with choose_reporter() as reporter:
                run_config(command, reporter)
        case BatchConfig():
            from xbind.cli.batch import run_batch

            run_batch(command)
        case ExportConfig():
            from xbind.cli.export import run_export

            run_export(command)
        case ServeConfig():
            from xbind.server.serve import serve

            serve(command)
        case DoctorConfig(bundle=bundle):
            from xbind.cli.doctor import doctor

            sys.exit(doctor(bundle))
        case PlanConfig():
            from xbind.cli.plan import show_plan

            show_plan(command)
        case ShowConfigConfig():
            from xbind.cli.show_config import show_config

            show_config(command)
        case ShowBundleConfig(bundle=bundle):
            from xbind.cli.bundle import show

            show(bundle)
        case ImportBundleConfig():
            from xbind.cli.bundle import import_public

            import_public(command)
        case RandomBundleConfig(out=out, reduced=small, sd_base=sd_base, seed=seed):
            from xbind.cli.bundle import make_random

            make_random(out, small=small, sd_base=sd_base, seed=seed)
        case EvalRunConfig() | EvalReportConfig() | EvalConfig():
            _run_eval(command)
        case _:
            _run_engines(command)


def _run_eval(command: EvalRunConfig | EvalReportConfig | EvalConfig) -> None:
    from xbind.cli import eval_report, evaluate, evaluate_run

    match command:
        case EvalRunConfig():
            evaluate_run.evaluate_run(command)
        case EvalReportConfig():
            eval_report.evaluate_report(command)
        case EvalConfig():
            evaluate.evaluate(command)


def _run_engines(command: Command) -> None:
    from xbind.cli import engines

    match command:
        case ListEnginesConfig():
            engines.show()
        case VerifyEnginesConfig():
            sys.exit(engines.verify())
        case DiagnoseEnginesConfig():
            sys.exit(engines.diagnose(command))
        case GcEnginesConfig(all=everything):
            engines.gc(everything=everything)


def started_at(command: Command) -> int | None:
    """Returns the start time of the run in a folder, in ns; None if there is none."""
    if not isinstance(command, GenerateConfig):
        return None
    try:
        return (command.out / CONFIG).stat().st_mtime_ns
    except OSError:
        return None


def advice_to_resume(command: Command | None, words: list[str], earlier: int | None) -> str:
    """Returns the advice after "interrupted": the command that continues from the last checkpoint.

    Args:
        command: what was interrupted; None if it was not known yet.
        words: the command line.
        earlier: `started_at` before the command ran: a run that was there then is another one.
    """
    if isinstance(command, EvalRunConfig | BatchConfig):
        return f". Continue with the same command:\n  {shlex.join(['xbind', *words])}"
    if not isinstance(command, GenerateConfig):
        return "."
    started = started_at(command)
    if started is None or (started == earlier and not command.resume):
        return " before the run was started; nothing was written."
    again = ["xbind", "generate", "--resume", "--out", str(command.out)]
    return f". Continue from the last checkpoint with:\n  {shlex.join(again)}"
