"""Folders stand in layers, imports point down, and no files import one another in a circle.

A folder may import what stands to its right in its row of the table, and every row below.
"""

import ast
import importlib.util
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("kernels", "engine", "export", "bench")

LAYERS = (
    ("cli", "bench", "mini"),
    ("evaluation", "server", "batch"),
    ("api", "pipeline"),
    ("run", "memory", "importing"),
    ("algorithm",),
    ("conditioning",),
    ("networks",),
    ("losses",),
    ("diffusion", "scene"),
    ("models",),
    ("export", "kernels", "engine"),
    ("system", "config", "files", "web", "errors"),
)
"""Folders and modules of `xbind`, from the command line down to the errors."""
ORDER = {name: place for place, name in enumerate(name for row in LAYERS for name in row)}

STATED = {"": {"system.telemetry", "api", "config.options", "errors", "run.result"}}
"""Module → imports that the table does not allow: telemetry is off before anything is imported, and
the package's own names are imported on first use."""
APART = {"kernels": {"engine"}, "run": {"importing"}, "memory": {"importing"},
         "diffusion": {"scene"}, "bench": {"mini"}}  # fmt: skip
"""Folders of one row that know nothing of one another."""
ONLY_FOR = {
    "export": {"networks.build", "networks.diagnose", "memory.plan"},
    "mini": {"cli.evaluate", "cli.evaluate_run", "cli.eval_lists"},
    "bench": {"cli.bench", "cli.build_engines"},
}
"""Folder → the modules of other folders that import it; bench imports what it measures."""

SOURCES = [path for top in ("xbind", *FOLDERS) for path in (ROOT / top).rglob("*.py")]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] in FOLDERS else parts[1:]
    return ".".join(part for part in parts if part != "__init__")


def imports_of(tree):
    """Every imported `xbind` module, without `xbind.`; `from xbind import x` counts as x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "xbind" and rest:
                yield rest


def top(module):
    return module.partition(".")[0]


def upward(module, tree):
    """The imports of a module that the layers do not allow."""
    own = top(module)
    allowed = {n for n in ORDER if ORDER[n] > ORDER.get(own, len(ORDER))} - APART.get(own, set())
    return sorted(
        {
            name
            for name in imports_of(tree)
            if top(name) not in allowed | {own}
            and not name.startswith(tuple(STATED.get(module, ("-",))))
        }
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    module = module_of(path)
    assert module == "" or top(module) in ORDER, f"{module} has no place in the layers yet"
    assert upward(module, ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("kernels.volume", "from xbind.scene.mesh.mesh import Mesh"),
        ("pipeline", "import xbind.mini.world"),
        ("algorithm.views", "import xbind.run.folder"),
        ("losses.sds", "def f():\n    from xbind.algorithm import phase1_nerf"),
        ("kernels.volume", "from xbind.engine.store import EngineStore"),
        ("errors", "import xbind.config.options"),
    ],
)
def test_an_upward_import_is_seen(module, line):
    assert len(upward(module, ast.parse(line))) == 1


@pytest.mark.parametrize("folder", ONLY_FOR)
def test_these_folders_have_few_who_import_them(folder):
    found = {
        module
        for path in SOURCES
        if top(module := module_of(path)) not in (folder, "bench")
        and any(top(name) == folder for name in imports_of(ast.parse(path.read_text())))
    }
    assert found == ONLY_FOR[folder]


@pytest.mark.parametrize(
    ("late", "at_once"),
    [
        ("export", {"networks.build", "networks.diagnose", "memory.plan"}),
        ("networks.build", {"networks.build_many", "networks.diagnose", "memory.plan"}),
    ],
)
def test_the_exporter_is_imported_late(late, at_once):
    """Nothing that runs needs it before an engine is built: imports stand inside functions."""
    for path in SOURCES:
        if module_of(path) not in at_once and top(module_of(path)) not in ("export", "bench"):
            at_the_top = ast.Module(
                [node for node in ast.parse(path.read_text()).body
                 if isinstance(node, ast.Import | ast.ImportFrom)], []
            )  # fmt: skip
            names = list(imports_of(at_the_top))
            assert not any(f"{name}.".startswith(f"{late}.") for name in names), path


def test_no_files_import_one_another_in_a_circle():
    modules = {module_of(path): path for path in SOURCES}

    def file_of(name):
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name

    imports = {
        module: {file_of(name) for name in imports_of(ast.parse(path.read_text()))} - {module, ""}
        for module, path in modules.items()
    }
    assert list(TopologicalSorter(imports).static_order())  # a CycleError names the circle


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_is_not_a_top_level_package(name):
    assert importlib.util.find_spec(name) is None, (
        f"`import {name}` works, so the repository root is on sys.path: run `pytest` "
        f"or `python -P -m pytest`, not `python -m pytest`"
    )
