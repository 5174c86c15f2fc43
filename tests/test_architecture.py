"""Imports point one way, and the top-level folders are not packages of their own.

cli → pipeline → outputs, run, phases → supervision → conditioning → frozen → guidance, scene
(nerf, mesh, regularizers, cameras), models → kernels, engine → files, errors; export → engine,
guidance, models; building, planning and trial_build import export; mini stands beside, and only the
command that evaluates imports it, for the ground truth of its own world; bench watches the pipeline
from above, and only its command imports bench.
"""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("kernels", "engine", "export", "bench")

BASE = {"errors", "files", "cache", "memory", "jit", "telemetry"}
SCENE = {"cameras", "nerf", "mesh", "regularizers"}
PRIORS = {"guidance", "conditioning", "models", "frozen"}
OPERATORS = {"kernels", "engine"}
NUMBERS = {"scene_config", "method_config"}
CHOICES = {"config", "presets", "methods", "savings"} | NUMBERS
ENGINES = {"graphs", "graph_feeds", "engine_keys", "precision", "source_digest"}
RECORDS = {"progress", "events", "run", "run_checks", "outputs", "report"}
METHOD = {"supervision", "phases", "optim"} | CHOICES | SCENE | PRIORS | OPERATORS | BASE

ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "cache": {"errors"},
    "memory": {"errors"},
    "telemetry": set(),
    "jit": {"cache"},
    "events": BASE,
    "progress": BASE,
    "run_checks": BASE,
    "run": {"run_checks", "events", "progress"} | BASE,
    "resuming": {"config", "run_checks"} | BASE,
    "preflight": {"config", "presets", "methods", "models", "conditioning", "run_checks"} | BASE,
    "report": {"events", "progress"} | BASE,
    "phase1": {"config", "run", "events"} | BASE,
    "config": {"errors"},
    "scene_config": set(),
    "method_config": {"config", "scene_config"},
    "presets": {"method_config", "scene_config", "errors"},
    "methods": {"config", "presets", "errors"},
    "savings": {"config", "errors"},
    "devices": {"config", "errors"},
    "kernels": BASE,
    "engine": BASE,
    "cameras": BASE,
    "optim": BASE,
    "models": OPERATORS | BASE,
    "conditioning": {"models", "config"} | BASE,
    "conditioning.prompt": {"models", "config", "frozen"} | BASE,
    "conditioning.understood": {"models", "config", "frozen"} | BASE,
    "conditioning.reference_view": {"cameras", "presets", "savings"} | PRIORS | BASE,
    "mesh": {"cameras", "config", "scene_config"} | OPERATORS | BASE,
    "regularizers": {"mesh", "method_config"} | OPERATORS | BASE,
    "nerf": {"cameras", "scene_config"} | OPERATORS | BASE,
    "guidance": {"models", "method_config"} | OPERATORS | BASE,
    "frozen": {"cameras", "conditioning", "guidance", "models", "engine"} | BASE,
    "import_parts": {"conditioning", "frozen", "models"} | BASE,
    "importing": {"import_parts", "frozen", "models", "source_digest"} | BASE,
    "random_bundle": {"importing", "conditioning", "frozen", "models"} | BASE,
    "hub": {"errors"},
    "cli.bundle": {"hub", "import_parts", "importing", "random_bundle"} | METHOD | RECORDS,
    "graphs": CHOICES | PRIORS | OPERATORS | BASE,
    "graph_feeds": {"graphs"} | CHOICES | PRIORS | OPERATORS | BASE,
    "precision": {"config", "frozen"} | BASE,
    "source_digest": set(),
    "engine_keys": {"graphs", "precision", "source_digest"} | CHOICES | PRIORS | OPERATORS | BASE,
    "building": ENGINES | {"export"} | CHOICES | PRIORS | OPERATORS | BASE,
    "compiled": ENGINES | {"building"} | CHOICES | PRIORS | OPERATORS | BASE,
    "supervision": {"graphs"} | CHOICES | SCENE | PRIORS | OPERATORS | BASE,
    "phases": METHOD,
    "outputs": CHOICES | SCENE | BASE,
    "scene_memory": CHOICES | SCENE | PRIORS | OPERATORS | BASE,
    "planning": ENGINES
    | {"building", "export", "scene_memory"}
    | CHOICES
    | SCENE
    | PRIORS
    | OPERATORS
    | BASE,
    "trial_build": ENGINES
    | {"building", "export", "random_bundle"}
    | CHOICES
    | PRIORS
    | OPERATORS
    | BASE,
    "pipeline": {"preflight", "resuming", "devices", "graphs", "compiled", "phase1", "planning"}
    | METHOD
    | RECORDS,
    "export": {"engine", "guidance", "models"} | BASE,
    "evaluation": {"graphs", "run", "events"} | CHOICES | SCENE | PRIORS | OPERATORS | BASE,
    "mini": {"optim"} | SCENE | PRIORS | OPERATORS | BASE,
    "mini.targets": {"config"} | SCENE | PRIORS | OPERATORS | BASE,
    "mini.judging": {"evaluation"} | SCENE | PRIORS | OPERATORS | BASE,
    "mini.calibration": {"evaluation"} | SCENE | PRIORS | OPERATORS | BASE,
    "cli": {"pipeline", "preflight", "resuming"} | METHOD | RECORDS,
    "cli.evaluate": {"mini", "evaluation", "pipeline"} | METHOD | RECORDS,
    "cli.plan": {"planning", "random_bundle"} | METHOD | RECORDS,
    "cli.engines": ENGINES | METHOD | RECORDS,
    "cli.doctor": {"devices"} | ENGINES | METHOD | RECORDS,
    "build_jobs": {"building"} | ENGINES | CHOICES | PRIORS | OPERATORS | BASE,
    "bench": {"pipeline", "compiled", "building", "devices", "export", "random_bundle"}
    | {"scene_memory", "trial_build"}
    | ENGINES
    | METHOD
    | RECORDS,
    "cli.bench": {"bench", "cli"} | BASE,
    "cli.build_engines": {"build_jobs", "random_bundle", "trial_build"}
    | ENGINES
    | METHOD
    | RECORDS,
    "": {"telemetry"},
}
"""Module of `xbind` → what it may import besides itself; the most specific entry counts."""

SOURCES = [path for top in ("xbind", *FOLDERS) for path in (ROOT / top).rglob("*.py")]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] in FOLDERS else parts[1:]
    return ".".join(part for part in parts if part != "__init__")


def entry_of(module):
    names = [name for name in ALLOWED if module == name or module.startswith(f"{name}.")]
    return max(names, key=len, default="")


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


def upward(module, tree):
    """The imports of a module that its entry does not allow."""
    own = entry_of(module)
    allowed = ALLOWED[own] | {own.split(".")[0]}
    return sorted({name for name in imports_of(tree) if name.split(".")[0] not in allowed})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    module = module_of(path)
    assert module == "" or entry_of(module), f"{module} has no place in the architecture yet"
    assert upward(module, ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("kernels.volume", "from xbind.scene.mesh.mesh import Mesh"),
        ("pipeline", "import xbind.mini.world"),
        ("pipeline", "from xbind import export"),
        ("cli.main", "from xbind.export.onnx_graph import trace"),
        ("guidance.sds", "def f():\n    from xbind.phases import coarse"),
        ("errors", "import xbind.config.options"),
    ],
)
def test_an_upward_import_is_seen(module, line):
    assert len(upward(module, ast.parse(line))) == 1


def test_only_the_evaluation_knows_the_mini_world():
    assert [name for name, allowed in ALLOWED.items() if "mini" in allowed] == ["cli.evaluate"]


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_is_not_a_top_level_package(name):
    assert importlib.util.find_spec(name) is None, (
        f"`import {name}` works, so the repository root is on sys.path: run `pytest` "
        f"or `python -P -m pytest`, not `python -m pytest`"
    )
