"""The JSON half of a GLB file: material, sampler, buffer targets, metadata and a checksum.

Layout (glTF 2.0, Sec. 4.4): a 12-byte header, then chunks of (length, type, data); the first chunk
is JSON, the second the binary buffer.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import xbind
from xbind.config.options import Material
from xbind.scene.light import Light
from xbind.scene.mesh.placement import IN_PLACE, Placement

UNLIT = "KHR_materials_unlit"
"""Extension of a material whose colour is shown as it is, without lights."""
ROOT = "xbind"
"""Name of our metadata in the `extras` of the scene."""
GENERATOR = f"xbind {xbind.__version__}"

_ARRAY, _ELEMENTS = 34962, 34963  # bufferView.target: vertex attributes, indices
_LINEAR, _LINEAR_MIPMAPS, _CLAMP = 9729, 9987, 33071
_HEADER, _CHUNK, _JSON = struct.Struct("<4sII"), struct.Struct("<I4s"), b"JSON"
_SUM, _NO_SUM = "sha256", 64 * "0"


class DamagedGlb(ValueError):
    """Bytes that are not a GLB, or not those that were written."""


def complete(
    tree: dict[str, Any],
    material: Material,
    placement: Placement,
    about: Mapping[str, Any],
    light: Light | None = None,
) -> None:
    """Adds to a glTF document of one textured mesh what trimesh leaves out. In place.

    The scene's `extras.xbind` holds `about`, how the texture is meant, its light and the placement,
    from which `light_in` and `placement_in` take them. `asset.extras` gets an empty checksum, for
    `with_checksum`.

    Args:
        tree: the document, with one texture and one primitive per mesh.
        material: `unlit` where the texture holds the object's shading; `lit` to let viewers light
            it.
        placement: applied to the positions.
        about: plain data on where the object came from.
        light: the object's known light.
    """
    tree["asset"] |= {"generator": GENERATOR, "extras": {_SUM: _NO_SUM}}
    known = {"version": xbind.__version__, **about}
    tree["scenes"][0]["extras"] = {
        ROOT: {**known, "material": material, "placement": placement.plain()}
        | ({} if light is None else {"light": light.plain()})
    }
    # Charts end close to the texture's border: repeating would mix in the opposite one.
    tree["samplers"] = [
        {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAPS, "wrapS": _CLAMP, "wrapT": _CLAMP}
    ]
    for texture in tree["textures"]:
        texture["sampler"] = 0
    if material == "unlit":
        for surface in tree["materials"]:
            surface["extensions"] = {UNLIT: {}}
        tree["extensionsUsed"] = [UNLIT]
    for mesh in tree["meshes"]:
        mesh.pop("extras", None)  # trimesh leaves an empty one
        for primitive in mesh["primitives"]:
            _set_target(tree, primitive["indices"], _ELEMENTS)
            for accessor in primitive["attributes"].values():
                _set_target(tree, accessor, _ARRAY)


def _set_target(tree: dict[str, Any], accessor: int, target: int) -> None:
    tree["bufferViews"][tree["accessors"][accessor]["bufferView"]]["target"] = target


def with_checksum(glb: bytes) -> bytes:
    """A GLB of `complete` with its SHA-256, computed while that value is 64 zeros."""
    empty = _sum_field(_NO_SUM)
    if glb.count(empty) != 1:
        raise DamagedGlb("no place for a checksum")
    return glb.replace(empty, _sum_field(hashlib.sha256(glb).hexdigest()))


def read_document(glb: bytes) -> dict[str, Any]:
    """The JSON of a GLB, whose checksum is compared if it has one.

    Files that other programs write have none.

    Raises:
        DamagedGlb: it is not a GLB, is cut short, or has changed since it was written.
    """
    try:
        magic, version, length = _HEADER.unpack_from(glb)
        size, kind = _CHUNK.unpack_from(glb, _HEADER.size)
        start = _HEADER.size + _CHUNK.size
        document = json.loads(glb[start : start + size])
    except (struct.error, ValueError, RecursionError) as error:
        raise DamagedGlb(f"no glTF document: {error}") from error
    if (magic, version, kind) != (b"glTF", 2, _JSON) or not isinstance(document, dict):
        raise DamagedGlb("no glTF 2.0 document")
    if length != len(glb):
        raise DamagedGlb(f"{len(glb)} bytes long, but {length} were written")
    found = _within(document, "asset", "extras", _SUM)
    if found is not None:
        blank = glb.replace(_sum_field(str(found)), _sum_field(_NO_SUM), 1)
        if hashlib.sha256(blank).hexdigest() != found:
            raise DamagedGlb("changed since it was written: its checksum differs")
    return document


def binary_chunk(glb: bytes) -> bytes:
    """The bytes that the document's first buffer holds; empty where a GLB has only a document."""
    size, _ = _CHUNK.unpack_from(glb, _HEADER.size)
    at = _HEADER.size + _CHUNK.size + size
    if at + _CHUNK.size > len(glb):
        return b""
    length, _ = _CHUNK.unpack_from(glb, at)
    return glb[at + _CHUNK.size : at + _CHUNK.size + length]


def placement_in(document: Mapping[str, Any]) -> Placement:
    """The placement in a document; the default where it holds none.

    Raises:
        ValueError: it is not a placement.
    """
    found = _within(document, "scenes", 0, "extras", ROOT, "placement")
    return IN_PLACE if found is None else Placement.from_plain(found)


def light_in(document: Mapping[str, Any]) -> Light | None:
    """The known light of the object in a document; None where it holds none.

    Raises:
        ValueError: it is not a light.
    """
    found = _within(document, "scenes", 0, "extras", ROOT, "light")
    return None if found is None else Light.from_plain(found)


def material_in(document: Mapping[str, Any]) -> Material:
    """How viewers are asked to show the first material of a document."""
    unlit = _within(document, "materials", 0, "extensions", UNLIT)
    return "lit" if unlit is None else "unlit"


def about_in(document: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that `complete` was given; empty for files of other programs."""
    found = _within(document, "scenes", 0, "extras", ROOT)
    own = ("version", "material", "placement", "light")
    return {k: v for k, v in found.items() if k not in own} if isinstance(found, dict) else {}


def _sum_field(digest: str) -> bytes:
    return f'"{_SUM}":"{digest}"'.encode()


def _within(value: Any, *path: str | int) -> Any:  # noqa: ANN401
    """Returns the value at a path of keys and indices, or None."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
