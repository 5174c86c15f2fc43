"""`xbind bundle show`, `import`, `random`: what a bundle holds, and how to make one."""

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from xbind.errors import XBindError
from xbind.networks.manifest import BundleManifest, load_manifest, verify
from xbind.run.console import PlainConsole
from xbind.run.progress import format_bytes
from xbind.system.untrusted import fault_of, guarded, is_file

if TYPE_CHECKING:
    from xbind.cli.options import ImportBundleConfig

_UNCLIP_FILES = (
    "*/config.json", "*/scheduler_config.json", "tokenizer/*",
    "*/diffusion_pytorch_model.safetensors", "*/model.safetensors",
)  # fmt: skip
"""File name patterns of one copy of each weight; the repository and its mirrors hold up to four."""
_ZERO123_FILES = (
    "unet/*", "vae/*", "image_encoder/*", "cc_projection/*", "clip_camera_projection/*",
    "scheduler/*",
)  # fmt: skip
_TAESD_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
_TABLES = ("vocab.json", "merges.txt")
_TOO_LONG = 100 * 2**20
"""No safetensors header is as long as this, in bytes."""


@dataclass(frozen=True, slots=True)
class Component:
    """Row of one folder of a bundle, such as `unclip/unet`."""

    name: str
    parameters: int
    size_bytes: int


def show(bundle: str) -> None:
    """Print a bundle's name, licence, components and files, then check every file's hash.

    Raises:
        XBindError: when there is no such bundle, or a file is not what the manifest says.
    """
    console = PlainConsole(soft_wrap=True)
    manifest = load_manifest(bundle)
    console.print(f"folder: {manifest.folder}")
    for key, value in manifest.raw.items():
        if key != "files":
            console.print(f"{key}: {_readable(value)}")
    console.print(_table(components(manifest)))
    verify(manifest)
    console.print(f"files: all {len(manifest.files)} agree with their hashes")


def import_public(command: "ImportBundleConfig") -> None:
    """Find the checkpoints, fetch what may be fetched, and make a bundle of them.

    Raises:
        XBindError: a checkpoint is not here, or is not what it should be.
    """
    from xbind.importing.architectures import sd21
    from xbind.importing.bundle import import_bundle
    from xbind.importing.folders import Sources
    from xbind.importing.hub import locate
    from xbind.importing.sources import LICENCES

    fetch = command.allow_download
    console = PlainConsole(soft_wrap=True)
    fault = fault_of(command.imagebind)
    if fault is not None:
        raise XBindError(
            f"--imagebind {command.imagebind} {fault}.\nGet imagebind_huge.pth (4.5 GB) "
            f"from where the README of facebookresearch/ImageBind says, and give its path."
        )
    unclip = locate(command.unclip, "--unclip", wanted=_UNCLIP_FILES, allow_download=fetch)
    zero123 = locate(command.zero123, "--zero123", wanted=_ZERO123_FILES, allow_download=fetch)
    clip = unclip
    if command.clip:
        wanted = ("config.json", "model.safetensors", "pytorch_model.bin", *_TABLES)
        clip = locate(command.clip, "--clip", wanted=wanted, allow_download=fetch)
    taesd = None
    if command.taesd:
        taesd = locate(command.taesd, "--taesd", wanted=_TAESD_FILES, allow_download=fetch)
    sd_base = None
    if command.sd_base:
        sd_base = locate(command.sd_base, "--sd-base", wanted=_UNCLIP_FILES, allow_download=fetch)
    sources = Sources(
        unclip=unclip,
        zero123=zero123,
        imagebind=command.imagebind,
        clip=clip,
        tokenizer=_tables(command, [unclip / "tokenizer", clip], fetch),
        taesd=taesd,
        sd_base=sd_base,
    )
    left_out = {name for name in ("taesd", "sd_base") if getattr(sources, name) is None}
    for part, licence in LICENCES.items():
        if part not in left_out:
            console.print(f"licence of {part}: {licence}")
    origins = {"unclip": command.unclip, "zero123": command.zero123, "clip": command.clip}
    origins |= {"imagebind": str(command.imagebind)}
    origins |= {"taesd": command.taesd} if command.taesd else {}
    origins |= {"sd_base": command.sd_base} if command.sd_base else {}
    manifest = import_bundle(
        sources, command.out, sd21(), console.print,
        origins=origins,
    )  # fmt: skip
    console.print(f'Made:  xbind generate --bundle {manifest.folder} --text "a red mug"')


def _tables(command: "ImportBundleConfig", places: list[Path], fetch: bool) -> Path:
    """The folder with CLIP's byte-pair tables.

    Raises:
        XBindError: there is none.
    """
    from xbind.importing.hub import locate
    from xbind.importing.sources import CLIP_ID

    if command.tokenizer:
        places = [locate(command.tokenizer, "--tokenizer", wanted=_TABLES, allow_download=fetch)]
    for place in places:
        if all(is_file(place / name) for name in _TABLES):
            return place
    raise XBindError(
        f"There are no {' and '.join(_TABLES)} in {' or '.join(str(p) for p in places)}.\n"
        f"A checkpoint in one file has no tokenizer: name a folder or hub id that has one, "
        f"such as\n  --tokenizer {CLIP_ID}"
    )


def make_random(out: Path, *, small: bool, sd_base: bool, seed: int) -> None:
    """Make a bundle with random weights.

    Raises:
        XBindError: the folder cannot be written, or holds a bundle.
    """
    from xbind.importing.architectures import reduced, sd21, with_sd_base
    from xbind.importing.random_weights import make_random_bundle

    console = PlainConsole(soft_wrap=True)
    shapes = reduced() if small else sd21()
    shapes = with_sd_base(shapes) if sd_base else shapes
    make_random_bundle(out, shapes, seed, console.print)
    console.print(f"Made {out}: its weights are random, its objects mean nothing.")


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
    with (
        guarded(
            lambda why: XBindError(f"{path} is missing or damaged ({why}). Get the bundle again.")
        ),
        path.open("rb") as file,
    ):
        (length,) = struct.unpack("<Q", file.read(8))
        if length > _TOO_LONG:
            raise ValueError(f"its header claims {length} bytes")
        header = json.loads(file.read(length))
        counts = [math.prod(x["shape"]) for name, x in header.items() if name != "__metadata__"]
        if not all(isinstance(count, int) for count in counts):
            raise ValueError("its header has a shape that is none")
    yield from counts


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
        lines = (f"\n{key}: {_readable(item)}" for key, item in value.items())
        return "".join(lines).replace("\n", "\n  ")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
