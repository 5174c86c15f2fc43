"""Options and commands that a message names exist."""

import ast
import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from xbind.bench.config import BenchConfig
from xbind.cli.build_engines import BuildConfig
from xbind.cli.main import COMMANDS
from xbind.cli.options import GenerateCommand, PromptWords
from xbind.config.options import MODALITIES, FilesConfig, PromptConfig

ROOT = Path(__file__).parent.parent
PROGRAMS = {f"xbind {name}": config for name, config in COMMANDS.items()} | {
    "xbind generate": GenerateCommand,
    "xbind-bench": BenchConfig, "xbind-build-engines": BuildConfig,
}  # fmt: skip
OTHERS = {"--help", "--version", "--no-build-isolation", "--upgrade", "--head"}
"""Options that are no field of a configuration; the last three are those of pip and of ray."""
NOT_OFFERED = {("xbind/cli/main.py", "--prompt")}
"""Options that a message names to say that they do not exist."""


NESTED = (PromptConfig, PromptWords, FilesConfig)
"""Configurations whose fields are options of the command that holds them."""


def options_of(config):
    """The options of a command, as tyro derives them."""
    for field in dataclasses.fields(config):
        nested = [c for c in NESTED if c in (field.type, *get_args(field.type))]
        if nested:
            yield from options_of(nested[0])
        elif "Positional" not in repr(field.type):
            yield f"--{field.name.replace('_', '-')}"


def texts_of(tree):
    """Every string of a module that is no docstring, with its line; `*` for what is filled in."""
    described = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    silent = set()
    for node in ast.walk(tree):
        if isinstance(node, described):
            # docstrings, and those that follow a field or a constant
            silent |= {
                id(part)
                for statement in node.body
                if isinstance(statement, ast.Expr)
                for part in ast.walk(statement)
                if isinstance(statement.value, ast.Constant)
            }
        if isinstance(node, ast.JoinedStr):
            silent |= {id(part) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "*" for p in node.values)
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def advice_in(path):
    """Every option that a message of a module names: where, the option, the message."""
    name = path.relative_to(ROOT).as_posix()
    for line, text in texts_of(ast.parse(path.read_text())):
        if re.fullmatch(r"--[\w.-]+(=.*)?", text):  # an argument of a program, no message
            continue
        for option in re.findall(r"(?<![\w-])--[a-z*][a-z0-9*-]*", text):
            if (name, option) not in NOT_OFFERED:
                yield f"{name}:{line}", option.rstrip("-"), text


KNOWN = {option for config in PROGRAMS.values() for option in options_of(config)} | OTHERS
SOURCES = [
    path
    for top in ("xbind", "engine", "kernels", "export", "bench")
    for path in sorted((ROOT / top).rglob("*.py"))
    if "mini/train" not in path.as_posix()  # a program of its own, with argparse
]


OF_ONE_PROGRAM = {
    "xbind/cli/plan.py": ["xbind plan"],
    "xbind/cli/batch": ["xbind batch"],
    "xbind/batch": ["xbind batch"],
    "xbind/cli/bundle.py": ["xbind bundle import", "xbind bundle random", "xbind bundle show"],
    "xbind/importing/hub.py": ["xbind bundle import"],
    "xbind/import": ["xbind bundle import"],
    "xbind/importing/random_weights.py": ["xbind bundle random", "xbind-build-engines"],
    "xbind/cli/evaluate.py": ["xbind eval", "xbind eval run", "xbind eval report"],
    "xbind/cli/eval_configs.py": ["xbind eval", "xbind eval run", "xbind eval report"],
    "xbind/evaluation": ["xbind eval", "xbind eval run", "xbind eval report"],
    "xbind/cli/build_engines.py": ["xbind-build-engines"],
    "xbind/networks/build_many.py": ["xbind-build-engines"],
    "bench/real_builds.py": ["xbind-build-engines", "xbind-bench"],
    "xbind/pipeline.py": ["xbind generate"],
    "xbind/run/prompt_record.py": ["xbind generate"],
    "xbind/run/settings.py": ["xbind generate"],
    "xbind/run/state.py": ["xbind generate"],
    "xbind/run/phase1.py": ["xbind generate", "xbind eval run"],
    "xbind/run/preflight.py": ["xbind generate"],
    "xbind/run/resuming.py": ["xbind generate"],
    "xbind/conditioning": ["xbind generate"],
    "bench/": ["xbind-bench"],
}
"""Start of a module's path → the programs whose users read its messages."""


def exists(option, known=KNOWN):
    if "*" not in option:
        return option in known
    fitting = re.compile(option.replace("*", "[a-z0-9-]+"))
    return any(fitting.fullmatch(name) for name in known)


def test_every_option_that_a_message_names_exists():
    found = [place for path in SOURCES for place in advice_in(path)]
    assert len(found) > 100
    assert [(where, option) for where, option, _ in found if not exists(option)] == []


@pytest.mark.parametrize("start", OF_ONE_PROGRAM)
def test_a_message_names_options_of_the_command_that_shows_it(start):
    """Or of the command that the message names beside them."""
    paths = [path for path in SOURCES if path.relative_to(ROOT).as_posix().startswith(start)]
    assert paths
    for path in paths:
        for where, option, text in advice_in(path):
            shown_by = [*OF_ONE_PROGRAM[start], *(name for name in PROGRAMS if name in text)]
            known = {o for name in shown_by for o in options_of(PROGRAMS[name])} | OTHERS
            assert exists(option, known), (where, option)


def test_every_command_that_a_message_names_exists():
    """`xbind …` in back quotes, or before an option."""
    found = []
    for path in SOURCES:
        for line, text in texts_of(ast.parse(path.read_text())):
            named = re.findall(r"`(xbind[\w-]*(?: [a-z]+)*)", text)
            named += re.findall(r"\b(xbind[\w-]*(?: [a-z]+)+) --", text)
            found += [(f"{path.relative_to(ROOT)}:{line}", command) for command in named]
    assert len(found) > 10
    unknown = [(where, command) for where, command in found if command not in {*PROGRAMS, "xbind"}]
    assert unknown == []


@pytest.mark.parametrize(("option", "known"), [("--resume", True), ("--continue", False)])
def test_the_options_are_those_of_the_commands(option, known):
    assert exists(option) is known
    assert {f"--{modality}" for modality in MODALITIES} <= KNOWN
    assert exists("--*-weight")
    assert "--words" not in KNOWN


def test_advice_is_found_in_a_message_and_not_in_a_docstring(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "module.py"
    path.write_text(
        '"""Of --docstring."""\nX = 1\n"""Of --field."""\n'
        "def f(m):\n    raise ValueError(f'give --first, or\\n--{m}-second' ' or --third')\n"
    )
    assert [option for _, option, _ in advice_in(path)] == ["--first", "--*-second", "--third"]
