"""The Khronos glTF validator, an npm package that `make test` installs where there is npm."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_MODULES = Path(sys.prefix) / "node" / "node_modules"
_PROGRAM = """
const validator = require(process.argv[1]);
const data = new Uint8Array(require("fs").readFileSync(process.argv[2]));
validator.validateBytes(data).then((r) => console.log(JSON.stringify(r)));
"""


def validate(path):
    """The report of the validator: its `issues` count errors, warnings, infos and hints."""
    module = _MODULES / "gltf-validator"
    if shutil.which("node") is None or not module.is_dir():
        pytest.skip("needs node, and gltf-validator in .venv/node: make test installs it with npm")
    command = ["node", "-e", _PROGRAM, str(module), str(path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)
