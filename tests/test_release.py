"""What a release states stands in one version; CI runs what setup.py promises."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import xbind

ROOT = Path(__file__).parent.parent
WORKFLOWS = ROOT / ".github/workflows"


@pytest.fixture(scope="module")
def notes():
    """`.ci/release_notes.py` as a module."""
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / ".ci/release_notes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_notes(tag):
    command = [sys.executable, ROOT / ".ci/release_notes.py", tag]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_file_states_the_same_version(notes):
    assert set(notes.versions().values()) == {xbind.__version__}


def test_the_notes_of_a_tag_are_its_section_of_the_changelog():
    done = run_notes(f"v{xbind.__version__}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("### ")
    assert "\n## " not in done.stdout


@pytest.mark.parametrize("tag", ["v9.9.9", "main"])
def test_a_tag_of_another_version_is_refused(tag):
    done = run_notes(tag)
    assert done.returncode == 1
    assert f"tag '{tag.removeprefix('v')}'" in done.stderr
    assert done.stdout == ""


def test_sections_end_where_the_next_begins(notes, tmp_path, monkeypatch):
    text = "# C\n\n## [Unreleased]\n\n## [1.1.0] - x\n\n### Added\n- a\n\n## [1.0.0] - y\n- b\n"
    (tmp_path / "CHANGELOG.md").write_text(text)
    monkeypatch.setattr(notes, "ROOT", tmp_path)
    assert notes.notes("1.1.0") == "### Added\n- a"
    assert notes.notes("1.0.0") == "- b"
    assert notes.notes("1.2.0") == ""


def test_ci_runs_every_python_that_the_package_promises():
    jobs = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"]
    setup = (ROOT / "setup.py").read_text()
    promised = re.findall(r"Python :: (3\.\d+)", setup)
    assert jobs["checks"]["strategy"]["matrix"]["python"] == promised
    lowest = jobs["lowest"]["steps"][1]["with"]["python-version"]
    assert lowest == promised[0]
    assert f'python_requires=">={lowest}"' in setup


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*.yml")), ids=lambda path: path.name)
def test_workflows_run_scripts_that_exist_and_may_be_run(path):
    steps = [s for job in yaml.safe_load(path.read_text())["jobs"].values() for s in job["steps"]]
    scripts = re.findall(r"\.ci/[\w.]+", "\n".join(step.get("run", "") for step in steps))
    assert scripts
    for script in scripts:
        assert (ROOT / script).is_file()
        assert script.endswith(".py") or (ROOT / script).stat().st_mode & 0o100


def test_hooks_call_the_tools_that_make_lint_calls():
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    makefile = (ROOT / "Makefile").read_text()
    called = re.findall(r"\$\(VENV\)/bin/(ruff \w+|typos)", makefile)
    entries = " ".join(hook["entry"] for hook in repo["hooks"])
    assert called == ["ruff check", "ruff format", "typos"]
    assert all(f".venv/bin/{tool}" in entries for tool in called)
