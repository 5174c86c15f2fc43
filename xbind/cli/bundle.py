"""`xbind bundle show`: what a bundle holds, and whether its files are what they were."""

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xbind.errors import XBindError
from xbind.models.bundle import BundleManifest, load_manifest, verify
from xbind.progress import format_bytes

_TOO_LONG = 100 * 2**20
"""No safetensors header is as long as this, in bytes."""


@dataclass(frozen=True, slots=True)
class Component:
    """One folder of a bundle, such as `unclip/unet`."""

    name: str
    parameters: int
    size_bytes: int


def show(bundle: str) -> None:
    """Print a bundle's name, licence, components and files, then check every file's hash.

    Raises:
        XBindError: when there is no such bundle, or a file is not what the manifest says.
    """
    console = Console(highlight=False, soft_wrap=True)
    manifest = load_manifest(bundle)
    console.print(f"folder: {manifest.folder}", markup=False)
    for key, value in manifest.raw.items():
        if key != "files":
            console.print(f"{key}: {_readable(value)}", markup=False)
    console.print(_table(components(manifest)))
    verify(manifest)
    console.print(f"files: all {len(manifest.files)} agree with their hashes")


def components(manifest: BundleManifest) -> list[Component]:
    """The folders of a bundle with their parameters and bytes, in the order of the manifest."""
    found: dict[str, Component] = {}
    for name, entry in manifest.files.items():
        folder = Path(name).parent.as_posix()
        before = found.get(folder, Component(folder, 0, 0))
        path = manifest.folder / name
        count = sum(parameter_counts(path)) if path.suffix == ".safetensors" else 0
        found[folder] = Component(
            folder, before.parameters + count, before.size_bytes + int(entry["bytes"])
        )
    return list(found.values())


def parameter_counts(path: Path) -> Iterator[int]:
    """Elements of each tensor of a safetensors file, from its header alone."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _TOO_LONG:
                raise ValueError(f"its header claims {length} bytes")
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise XBindError(
            f"{path} is missing or damaged ({error}). Get the bundle again."
        ) from error
    for name, tensor in header.items():
        if name != "__metadata__":
            yield math.prod(tensor["shape"])


def _table(rows: list[Component]) -> Table:
    table = Table("component", "parameters", "size")
    for column in table.columns[1:]:
        column.justify = "right"
    total = Component("all", sum(r.parameters for r in rows), sum(r.size_bytes for r in rows))
    for row in [*rows, total]:
        table.add_row(row.name, f"{row.parameters:,}", format_bytes(row.size_bytes))
    return table


def _readable(value: object) -> str:
    """Plain text; what is nested goes below, indented."""
    if isinstance(value, Mapping):
        return "".join(f"\n  {key}: {_readable(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
