"""Bundles: a folder with every frozen network and the numbers that belong to it.

`bundle.json` names the parts and the SHA-256 of every file. Which folder plays which role is data,
so one folder may play two (`zero123.vae` may be `unclip/vae`), and the code has one path.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xbind.errors import XBindError

FORMAT = 1
"""Layout version of `bundle.json`."""
SHIPPED = Path(__file__).parent.parent / "bundles"
"""Bundles that are installed with the package."""
ROLES = (
    "bind", "clip", "unclip.unet", "unclip.vae", "unclip.normalizer", "unclip.scheduler",
    "unclip.noising_scheduler", "unclip.empty_prompt", "zero123.unet", "zero123.vae",
    "zero123.scheduler", "zero123.image_encoder", "zero123.camera_projection",
)  # fmt: skip
"""What every bundle has; `judge` and `view` are optional."""


class BundleError(XBindError):
    """A bundle that is missing, incomplete or changed."""


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """`bundle.json`, read and checked for its shape."""

    folder: Path
    """The bundle."""
    raw: dict[str, Any]
    """The file's content."""

    @property
    def name(self) -> str:
        """The bundle's name."""
        return str(self.raw["name"])

    @property
    def files(self) -> Mapping[str, Mapping[str, Any]]:
        """Path inside the bundle → {"sha256", "bytes"}."""
        files: Mapping[str, Mapping[str, Any]] = self.raw["files"]
        return files

    @property
    def digest(self) -> str:
        """Of every file's hash: the same for the same networks, wherever they are."""
        hashes = "".join(self.files[name]["sha256"] for name in sorted(self.files))
        return hashlib.sha256(hashes.encode()).hexdigest()

    def part(self, role: str) -> Path:
        """The folder or file that plays a role.

        Raises:
            BundleError: nothing in this bundle does.
        """
        if role not in self.raw["parts"]:
            raise BundleError(
                f"The bundle {self.name!r} has no {role!r}; it has: "
                f"{', '.join(sorted(self.raw['parts']))}.\nChoose another one with --bundle."
            )
        return self.folder / self.raw["parts"][role]

    def config(self, role: str) -> dict[str, Any]:
        """The `config.json` of the folder that plays a role.

        Raises:
            BundleError: it is missing or no JSON.
        """
        path = self.part(role) / "config.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise BundleError(
                f"{path} cannot be read ({error}).\nInstall or import the bundle again."
            ) from error
        return content

    def has(self, role: str) -> bool:
        """Whether something plays an optional role."""
        return role in self.raw["parts"]


def shipped_bundles() -> list[str]:
    """Names of the bundles that are installed with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/bundle.json"))


def load_manifest(bundle: str | Path) -> BundleManifest:
    """Read the manifest of a shipped bundle or of a folder.

    Args:
        bundle: the name of a shipped bundle, or the path of a bundle's folder.

    Raises:
        BundleError: there is none, or its `bundle.json` is damaged or of another format.
    """
    shipped = SHIPPED / bundle
    folder = shipped if _is_file(shipped / "bundle.json") else Path(bundle)
    path = folder / "bundle.json"
    if not _is_file(path):
        raise BundleError(
            f"There is no bundle {str(bundle)!r}: neither shipped with xbind "
            f"({', '.join(shipped_bundles()) or 'none'}) nor a folder with a bundle.json.\n"
            f"Give one of the names, or the path of a bundle's folder, to --bundle."
        )
    try:
        raw = json.loads(path.read_text())
        missing = [role for role in ROLES if role not in raw["parts"]]
        fits = raw["format"] == FORMAT and not missing and isinstance(raw["files"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{path} is damaged ({error!r}).\nInstall or import the bundle again."
        ) from error
    if not fits:
        raise BundleError(
            f"{path} has format {raw['format']!r} and lacks {missing or 'nothing'}; wanted format "
            f"{FORMAT} with all of: {', '.join(ROLES)}.\nInstall or import the bundle again."
        )
    return BundleManifest(folder, raw)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; not where its name is too long, or its folder closed to us."""
    try:
        return path.is_file()
    except OSError:
        return False


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else hashlib.sha256(file.read()).hexdigest()
        )


def verify(manifest: BundleManifest) -> None:
    """Compare every file with its recorded hash.

    Raises:
        BundleError: a file is missing or differs; the message names it.
    """
    for name, record in manifest.files.items():
        path = manifest.folder / name
        if not path.is_file():
            raise BundleError(
                f"The bundle {manifest.name!r} is incomplete: {path} is missing.\n"
                f"Install or import the bundle again."
            )
        found = digest(path)
        if found != record["sha256"]:
            raise BundleError(
                f"The bundle {manifest.name!r} is damaged: {path}\n"
                f"  wanted sha256 {record['sha256']}\n  found         {found}\n"
                f"Install or import the bundle again."
            )
