"""Write the hashes of every package that `pip install xbind` installs:  python .ci/hashes.py

`--check` compares the files with the package index instead: exit status 1 if a package is missing
or not needed, or if the index has no file with a listed hash.

Needs uv. Versions are those of constraints.txt; what torch's build for CUDA asks for goes into a
file of its own, so that a machine without a GPU can leave it out.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PINS = ROOT / "constraints.txt"
HASHES, TORCH_HASHES = ROOT / "constraints-hashes.txt", ROOT / "constraints-hashes-torch.txt"
OF_TORCH = re.compile(r"(torch|triton|(nvidia|cuda)-[\w-]+)==")
COMPILE = [
    "uv", "--no-config", "pip", "compile", "setup.py", "--generate-hashes", "--universal",
    "--python-version", "3.11", "--no-header", "--no-annotate", "--quiet",
]  # fmt: skip
HEADS = {
    HASHES: "# Packages that xbind needs to run, without torch.",
    TORCH_HASHES: "# torch, and what its build for CUDA needs on Linux.",
}
MADE = "# Written by .ci/hashes.py from setup.py and constraints.txt; for pip's --require-hashes."


def compiled(*constraints: Path) -> list[str]:
    """One requirement with its hashes for each package, from the index."""
    if shutil.which("uv") is None:
        sys.exit("uv is not installed. Install it with:  pip install uv")
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("UV_", "PIP_"))}
    command = [*COMPILE, *(word for path in constraints for word in ("--constraints", str(path)))]
    done = subprocess.run(
        command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.returncode)
    return split(done.stdout)


def split(text: str) -> list[str]:
    """The requirements of a file, each with the lines of its hashes."""
    return re.split(r"^(?=[\w-]+==)", text, flags=re.MULTILINE)[1:]


def kept() -> list[str]:
    """The requirements of both files."""
    return [r for path in HEADS for r in split(path.read_text(encoding="utf-8"))]


def version(requirement: str) -> str:
    """Its name and version, `"soxr==1.1.0"`."""
    return requirement.split(maxsplit=1)[0]


def hashes(requirement: str) -> set[str]:
    """The hashes of its files."""
    return set(re.findall(r"--hash=sha256:([0-9a-f]{64})\b", requirement))


def differences(kept: list[str], served: list[str]) -> list[str]:
    """What is wrong with requirements that are kept, beside those of the index; a line each."""
    ours, theirs = ({version(r): hashes(r) for r in side} for side in (kept, served))
    lines = [f"{name} is missing" for name in theirs.keys() - ours]
    lines += [f"{name} is not needed" for name in ours.keys() - theirs]
    lines += [f"{name} has no hash" for name, sums in ours.items() if not sums]
    for name in ours.keys() & theirs:
        lines += [f"{name}: no file has the hash {sum_}" for sum_ in ours[name] - theirs[name]]
    return sorted(lines)


def main() -> None:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the index instead")
    if parser.parse_args().check:
        with tempfile.TemporaryDirectory() as folder:
            pins = Path(folder, "pins.txt")  # constraints.txt does not have all of torch's
            pins.write_text("\n".join(map(version, kept())))
            lines = differences(kept(), compiled(PINS, pins))
        sys.exit("\n".join(lines) or None)
    requirements = compiled(PINS)
    for path, head in HEADS.items():
        wanted = [r for r in requirements if bool(OF_TORCH.match(r)) == (path == TORCH_HASHES)]
        path.write_text("\n".join([head, MADE, "".join(wanted)]), encoding="utf-8")


if __name__ == "__main__":
    main()
