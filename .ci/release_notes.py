"""Print a release's section of the changelog:  python .ci/release_notes.py v0.2.0

Ends with an error where the tag, the version in `xbind/__init__.py`, the one in `CITATION.cff` and
the newest section of `CHANGELOG.md` are not the same.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSIONS = {
    "xbind/__init__.py": r'^__version__ = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    "CHANGELOG.md": r"^## \[(\d.*)\] - \d{4}-\d\d-\d\d$",
}
"""File → where it has the version; the first match counts."""


def versions() -> dict[str, str]:
    """File → the version that it states; empty where it states none."""
    found = {}
    for name, pattern in VERSIONS.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else ""
    return found


def notes(version: str) -> str:
    """The changelog's section of a version, without its heading."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(
        rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    return section[1].strip() if section else ""


def main() -> None:
    """Compare and print."""
    tag = sys.argv[1]
    stated = {"tag": tag.removeprefix("v")} | versions()
    if len(set(stated.values())) > 1:
        sys.exit("The versions differ: " + ", ".join(f"{k} {v!r}" for k, v in stated.items()))
    if not notes(stated["tag"]):
        sys.exit(f"CHANGELOG.md says nothing about {stated['tag']}.")
    sys.stdout.write(notes(stated["tag"]) + "\n")


if __name__ == "__main__":
    main()
