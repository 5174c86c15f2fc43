"""The page of dependencies and the hashes agree with setup.py, constraints.txt and metadata."""

import ast
import importlib.util
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reference/dependencies.md").read_text(encoding="utf-8")
HASH_FILES = ("constraints-hashes.txt", "constraints-hashes-torch.txt")
OTHER_SYSTEMS = {"colorama", "httpx2-jsfetch"}
"""Packages that are installed on Windows and in browsers only."""

BSD = {"BSD-2-Clause", "BSD-3-Clause"}
STATED = {
    "Apache 2.0": {"Apache-2.0"},
    "Apache 2.0 License": {"Apache-2.0"},
    "Apache Software License": {"Apache-2.0"},
    "Apache License": {"Apache-2.0"},
    "Apache License Version 2.0,": {"Apache-2.0"},
    "MIT License": {"MIT"},
    "The MIT License (MIT)": {"MIT"},
    "ISC License (ISCL)": {"ISC"},
    "BSD": BSD,
    "BSD License": BSD,
    "BSD 3-Clause License": {"BSD-3-Clause"},
    "3-Clause BSD License": {"BSD-3-Clause"},
    "Mozilla Public License 2.0 (MPL 2.0)": {"MPL-2.0"},
    "GNU General Public License v3 or later (GPLv3+)": {"GPL-3.0-or-later"},
    "Other/Proprietary License": {"Proprietary"},
}
"""What metadata state without being an SPDX identifier → identifiers that it may mean."""


def setup_argument(name):
    """A literal argument of `setup()`."""
    (call,) = (
        node for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setup"
    )  # fmt: skip
    return ast.literal_eval(next(k.value for k in call.keywords if k.arg == name))


def names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def pins():
    """Name → version, of what is needed to run."""
    text = (ROOT / "constraints.txt").read_text().partition("# To serve")[0]
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.MULTILINE))


def rows(heading):
    """Cells of the table under a heading, by package."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|\n").split(" |")]
        for line in section.splitlines()
        if line.startswith("| ") and not line.startswith("| package |")
    ]
    table = {line[0]: line[1:] for line in lines}
    assert len(table) == len(lines) > 0
    return table


def licences():
    """Package → licence on the page, in all tables."""
    tables = ("Direct dependencies", "What these install", "Optional", "For development")
    return {name: cells[-2] for table in tables for name, cells in rows(table).items()}


def title_of_licence(name):
    """First words of the licence's file, where the metadata states nothing else."""
    texts = [f.read_text() for f in distribution(name).files if "LICENSE" in f.name.upper()]
    return " ".join(" ".join(texts).split()[:4])


def stated(name):
    """SPDX expressions that the metadata of an installed package allow."""
    metadata = distribution(name).metadata
    if metadata.get("License-Expression"):
        return {metadata.get("License-Expression")}
    classifiers = metadata.get_all("Classifier") or []
    found = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]
    if len(found) > 1:  # of a choice
        return {" OR ".join(next(iter(STATED[c])) for c in found)}
    if not found:
        found = [metadata.get("License", "").split("\n")[0].strip() or title_of_licence(name)]
    return STATED.get(found[0], set(found))


def test_the_page_lists_what_setup_names():
    assert rows("Direct dependencies").keys() == names(setup_argument("install_requires"))
    extras = setup_argument("extras_require")
    developers = names([*extras.pop("dev"), *extras.pop("docs")])
    optional = {name: cells[0].strip("`") for name, cells in rows("Optional").items()}
    assert optional == {n: extra for extra, listed in extras.items() for n in names(listed)}
    assert rows("For development").keys() == developers - optional.keys() - pins().keys()


def test_the_page_lists_what_is_installed_with_them():
    assert rows("What these install").keys() == pins().keys() - rows("Direct dependencies").keys()


@pytest.mark.parametrize("name", sorted(licences()))
def test_the_licence_is_that_of_the_metadata(name):
    try:
        assert licences()[name] in stated(name)
    except PackageNotFoundError:
        assert name not in pins(), "a package that is needed to run is not installed"
        pytest.skip("not installed")


def test_the_sizes_are_of_the_pinned_versions():
    total = 0.0
    for name, version in pins().items():
        found = distribution(name)
        size = sum(file.size or 0 for file in found.files) / 1e6
        told = float((rows("Direct dependencies") | rows("What these install"))[name][-1])
        total += told
        if found.version.partition("+")[0] == version and name != "torch":  # builds differ
            assert told == pytest.approx(size, rel=0.5, abs=1), name
    (stated_gb,) = re.findall(r"tables take ([\d.]+) GB", PAGE)
    assert float(stated_gb) == pytest.approx(total / 1e3, abs=0.06)


def test_files_inside_the_package_are_there():
    section = PAGE.partition("\n## Files inside xbind\n")[2].partition("\n## ")[0]
    paths = re.findall(r"`([\w./-]+)`", section)
    assert len(paths) >= 6
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.fixture(scope="module")
def hashes():
    """`.ci/hashes.py` as a module."""
    spec = importlib.util.spec_from_file_location("hashes", ROOT / ".ci/hashes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_to_run_has_hashes_of_the_pinned_version(hashes):
    kept = [hashes.version(requirement) for requirement in hashes.kept()]
    assert len(kept) == len(set(kept))
    of_cuda = {line for line in kept if hashes.OF_TORCH.match(line) and "torch==" not in line}
    others = {line for line in kept if line.partition("==")[0] in OTHER_SYSTEMS}
    assert set(kept) - of_cuda - others == {f"{n}=={v}" for n, v in pins().items()}
    assert all(hashes.hashes(requirement) for requirement in hashes.kept())
    (triton,) = re.findall(r"^triton==.+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert triton in of_cuda


def test_whatever_a_requirement_asks_for_has_hashes(hashes):
    """Followed from setup.py through the metadata of what is installed."""
    listed = {hashes.version(requirement).partition("==")[0] for requirement in hashes.kept()}
    environment = default_environment() | {"extra": ""}
    seen, todo = set(), names(setup_argument("install_requires"))
    while todo:
        seen |= todo
        asked = [Requirement(line) for n in todo for line in distribution(n).requires or []]
        todo = {
            canonicalize_name(line.name) for line in asked
            if line.marker is None or line.marker.evaluate(environment)
        } - seen  # fmt: skip
    assert len(seen) > 50
    assert seen <= listed


@pytest.mark.parametrize("name", HASH_FILES)
def test_lists_of_hashes_hold_nothing_but_requirements(name):
    lines = (ROOT / name).read_text().splitlines()
    pattern = r"#.*|[\w.-]+==[\w.]+( ; [^;\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []
    assert "//" not in "".join(lines)


def test_differences_from_the_index_are_told(hashes):
    def entry(name, *digits):
        return f"{name} \\\n" + "".join(f"    --hash=sha256:{d * 64} \\\n" for d in digits)

    served = [entry("a==1", "0", "1"), entry("b==2", "2")]
    assert hashes.split("# head\n" + "".join(served)) == served
    assert hashes.differences(served, served) == []
    assert hashes.differences([entry("a==1", "1"), entry("b==2", "2")], served) == []
    assert hashes.differences([entry("a==1", "0", "3")], served) == [
        f"a==1: no file has the hash {'3' * 64}", "b==2 is missing",
    ]  # fmt: skip
    assert hashes.differences([*served, entry("c==1", "4")], served) == ["c==1 is not needed"]
    assert hashes.differences([entry("a==1"), served[1]], served) == ["a==1 has no hash"]


def test_a_release_installs_from_the_hashes_and_lists_what_it_installed():
    release = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    steps = "\n".join(step.get("run", "") for step in release["jobs"]["release"]["steps"])
    install = steps.index("--require-hashes " + " ".join(f"-r {name}" for name in HASH_FILES))
    assert install < steps.index("--no-deps dist/*.whl") < steps.index("cyclonedx-py environment")
    assert steps.index("cyclonedx-py environment") < steps.index("gh release create")
    commands = re.findall(r"^pip install (.*--require-hashes.*)$", PAGE, flags=re.MULTILINE)
    assert commands
    assert all((ROOT / f).is_file() for c in commands for f in re.findall(r"-r (\S+)", c))
