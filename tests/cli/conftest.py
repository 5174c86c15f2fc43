"""A bundle made of a few small files."""

import hashlib
import json
import struct

import pytest

from xbind.networks.manifest import FORMAT, ROLES


def safetensors(shapes):
    """A safetensors file of zeros, written from its format's description."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps({"__metadata__": {"by": "test"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


@pytest.fixture
def bundle(tmp_path):
    """The folder of a bundle."""
    folder = tmp_path / "my bundle"
    contents = {
        "unclip/unet/model.safetensors": safetensors({"a": [3, 4], "b": [5], "c": []}),
        "unclip/unet/config.json": b"{}",
        "bind/model.safetensors": safetensors({"x": [1000, 2]}),
    }
    files = {}
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    raw = {
        "format": FORMAT,
        "name": "tiny [beta]",
        "licence": "Apache-2.0",
        "resolutions": {"coarse": 64},
        "parts": dict.fromkeys(ROLES, "bind"),
    }
    (folder / "bundle.json").write_text(json.dumps({**raw, "files": files}))
    return folder
