"""The Dockerfile agrees with the package, the Makefile and the guide; no image is built here."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_context_has_all_that_the_package_is_made_of():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    folders = re.search(r"^NAMES = \((.*)\)$", setup, re.MULTILINE).group(1)
    needed = {"xbind", "setup.py", "pyproject.toml", "constraints.txt", "LICENSE"}
    needed |= {*re.findall(r'"(\w+)"', folders), *re.findall(r'ROOT / "([\w.]+)"', setup)}
    assert len(needed) == 10
    assert needed == kept
    assert ignore.index("*") < min(ignore.index(f"!{name}") for name in kept)
    assert all((ROOT / name).exists() for name in kept)


def test_the_stages_are_those_of_the_guide_and_their_extras_exist():
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    guide = (ROOT / "docs" / "guide" / "cluster.md").read_text(encoding="utf-8")
    named = set(re.findall(r"xbind:(\w+)", guide))
    assert named == stages - {"base"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^STAGE \?= (\w+)$", makefile, re.MULTILINE).group(1) in named
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    extras = {
        name for some in re.findall(r"'\.\[([\w,]+)\]'", DOCKERFILE) for name in some.split(",")
    }
    assert extras
    assert all(f'"{name}": [' in setup for name in extras)
