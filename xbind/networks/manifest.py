"""Bundles: a folder with every frozen network and the numbers that belong to it.

`bundle.json` names the parts and the SHA-256 of every file. Which folder plays which role is data,
so one folder may play two (`zero123.vae` may be `unclip/vae`), and the code has one path.

`names`, optional, is the path of a text file among `files`, with one thing a line: what a run says
that its prompt is understood as, for a bundle with an open vocabulary. Each line is encoded once a
run: about 50 GFLOP a line in the text tower of ImageBind.

A bundle may carry several 3D priors. `priors_3d` names them:
{"wide": {"component": "zero123", "categories": […]}, "narrow": {"component": "zero123_narrow", …}}.
The component `zero123` is the default. Another component has at least its own `unet` and
`camera_projection`; for each other role it takes what the default has.

It may carry several 2D priors too, in `priors_2d`: {"unclip": {"component": "unclip"}, "sd_base":
{"component": "sd_base"}}. The component `unclip` is the default. Another one reads the prompt's
text alone, has all roles of `OWN_2D`, and has the side of its images in `image_size`.

`light`, optional, is the light in all pictures that the priors were trained with, where that is
known: `xbind.scene.light.Light` as plain data. It decides only runs whose method uses it, and these
record it (`config.json`, "light"): it is no part of `identity`, nor of engines.

`judge` and `judge_2` are optional roles that only evaluations use. No run depends on them, so a
bundle whose judges change still makes the same objects, and its `digest` has to stay the same. The
record of a judge's file says how it counts there, `digest_as`: the SHA-256 that it had when it was
first part of the digest, or null for a file that never was. A record without it counts as it is.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xbind.errors import XBindError
from xbind.files import sha256_file
from xbind.networks.manifest_shape import fault_in
from xbind.system.untrusted import fault_of, is_file, read_json_object, reason

if TYPE_CHECKING:
    from xbind.scene.light import Light

FORMAT = 1
"""Layout version of `bundle.json`."""
SHIPPED = Path(__file__).parent.parent / "bundles"
"""Bundles that are installed with the package."""
ROLES = (
    "bind", "clip", "unclip.unet", "unclip.vae", "unclip.normalizer", "unclip.scheduler",
    "unclip.noising_scheduler", "unclip.empty_prompt", "zero123.unet", "zero123.vae",
    "zero123.scheduler", "zero123.image_encoder", "zero123.camera_projection",
)  # fmt: skip
"""Roles that every bundle has; `view`, `taesd`, `VIEW_WORDS_ROLE` and the judges are optional."""
JUDGE_ROLES = ("judge", "judge_2")
"""Roles of the judges of an evaluation; no run uses them."""
VIEW_WORDS_ROLE = "unclip.views"
"""Role of the contexts that tell the 2D prior from where a view is seen."""

_DESCRIPTIVE = (
    "name", "licence", "about", "weights", "sources", "taken", "training_samples", "world_detail",
)  # fmt: skip
"""Entries of `bundle.json` that tell readers about the bundle; nothing is computed from them."""

_READ = frozenset({".json", ".safetensors", ".txt"})
"""Suffixes of the files that components are loaded from."""

DEFAULT_2D, DEFAULT_3D = "unclip", "zero123"
"""Components of the default priors."""
OWN_2D = ("unet", "vae", "scheduler", "empty_prompt", "views", "text_encoder")
"""Roles that every 2D prior but the default has for itself."""
OWN_3D = ("unet", "camera_projection")
"""Roles that every 3D prior has for itself."""


class BundleError(XBindError):
    """A bundle that is missing, incomplete or changed."""


@dataclass(frozen=True, slots=True)
class Prior3D:
    """3D prior of a bundle."""

    name: str
    """Name in `--prior-3d`."""
    component: str
    """Prefix of its roles, such as `zero123_narrow`."""
    categories: tuple[str, ...]
    """Categories of its training data; empty if the bundle does not list them."""


@dataclass(frozen=True, slots=True)
class BundleManifest:
    """`bundle.json`, read and checked for its shape."""

    folder: Path
    """The bundle."""
    raw: dict[str, Any]
    """The file's content."""
    component_2d: str = DEFAULT_2D
    """Component of the chosen 2D prior: what `part` returns for the roles `unclip.…`."""
    component_3d: str = DEFAULT_3D
    """Component of the chosen 3D prior: what `part` returns for the roles `zero123.…`."""

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
    def figures(self) -> dict[str, Any]:
        """Numbers of `bundle.json` itself that decide results, such as image sizes."""
        others = ("files", "parts", "priors_2d", "priors_3d", "names", "light", *_DESCRIPTIVE)
        return {name: value for name, value in self.raw.items() if name not in others}

    @property
    def deciding(self) -> dict[str, Any]:
        """All entries of `bundle.json` that decide runs, beside the content of the files.

        The role `judge` is among the parts, because the records of earlier versions have it there.
        """
        parts = {role: path for role, path in self.raw["parts"].items() if role != "judge_2"}
        return self._entries | {"parts": parts}

    @property
    def _entries(self) -> dict[str, Any]:
        others = ("parts", "priors_2d", "priors_3d", "names")
        return self.figures | {name: self.raw[name] for name in others if name in self.raw}

    @property
    def digest(self) -> str:
        """Digest of the hashes of all files: the same for networks that make the same objects.

        Files of judges count as their records say.
        """
        counted = (self.counted_hash(name) for name in sorted(self.files))
        return _digest_of(sha256 for sha256 in counted if sha256 is not None)

    def counted_hash(self, file: str) -> str | None:
        """SHA-256 with which a file counts in `digest`; None if it does not, or is not there."""
        record = self.files.get(file, {"digest_as": None})
        found: str | None = record["digest_as"] if "digest_as" in record else record["sha256"]
        return found

    @property
    def identity(self) -> str:
        """SHA-256 of all files and entries that decide results: objects, and what judges say."""
        files = _digest_of(self.files[name]["sha256"] for name in sorted(self.files))
        return hashlib.sha256(
            json.dumps([files, self._entries], sort_keys=True).encode()
        ).hexdigest()

    @property
    def has_view_words(self) -> bool:
        """True if the 2D prior can be told from where a view is seen."""
        return self.has(VIEW_WORDS_ROLE)

    @property
    def light(self) -> "Light | None":
        """The known light of the training pictures; None if the bundle names none."""
        from xbind.scene.light import Light  # imports torch

        return Light.from_plain(self.raw["light"]) if "light" in self.raw else None

    @property
    def priors_2d(self) -> Mapping[str, str]:
        """Name → component of each 2D prior; a bundle that names none has one, `default`."""
        table = self.raw.get("priors_2d", {"default": {"component": DEFAULT_2D}})
        return {name: entry["component"] for name, entry in table.items()}

    @property
    def chosen_2d(self) -> str | None:
        """Name of the chosen 2D prior; None for the default, whatever its name is."""
        named = {component: name for name, component in self.priors_2d.items()}
        return None if self.component_2d == DEFAULT_2D else named[self.component_2d]

    @property
    def image_size_2d(self) -> int:
        """Side of the images that guidance shows the chosen 2D prior, in pixels."""
        side: int = self.raw["image_size"][self.component_2d]
        return side

    @property
    def priors_3d(self) -> Mapping[str, Prior3D]:
        """Name → 3D prior; a bundle that names none has one, `default`."""
        table = self.raw.get("priors_3d", {"default": {"component": DEFAULT_3D}})
        return {
            name: Prior3D(name, entry["component"], tuple(entry.get("categories", ())))
            for name, entry in table.items()
        }

    @property
    def prior_3d(self) -> Prior3D:
        """The chosen 3D prior."""
        return next(p for p in self.priors_3d.values() if p.component == self.component_3d)

    @property
    def chosen_3d(self) -> str | None:
        """Name of the chosen 3D prior; None for the default, whatever its name is."""
        return None if self.component_3d == DEFAULT_3D else self.prior_3d.name

    def with_prior_3d(self, name: str | None) -> "BundleManifest":
        """The same bundle with another of its 3D priors chosen; None chooses the default.

        Raises:
            BundleError: it has no such prior; the message lists those it has.
        """
        if name is None:
            return replace(self, component_3d=DEFAULT_3D)
        if name not in self.priors_3d:
            raise self._no_prior("3D", name, self.priors_3d)
        return replace(self, component_3d=self.priors_3d[name].component)

    def with_prior_2d(self, name: str | None) -> "BundleManifest":
        """The same bundle with another of its 2D priors chosen; None chooses the default.

        Raises:
            BundleError: it has no such prior; the message lists those it has.
        """
        if name is None:
            return replace(self, component_2d=DEFAULT_2D)
        if name not in self.priors_2d:
            raise self._no_prior("2D", name, self.priors_2d)
        return replace(self, component_2d=self.priors_2d[name])

    def with_priors(self, prior_2d: str | None, prior_3d: str | None) -> "BundleManifest":
        """The same bundle with both priors chosen: `with_prior_2d` and `with_prior_3d`."""
        return self.with_prior_2d(prior_2d).with_prior_3d(prior_3d)

    def _no_prior(self, kind: str, name: str, known: Iterable[str]) -> BundleError:
        return BundleError(
            f"The bundle {self.name!r} has no {kind} prior {name!r}; it has: {', '.join(known)}.\n"
            f"Give one of these to --prior-{kind.lower()}, or another bundle to --bundle."
        )

    def with_view_words(self, used: bool) -> "BundleManifest":
        """The bundle as a run sees it that uses its view words, or that does not.

        Without them it is the same as before they were added to it. A 2D prior that reads the
        prompt's text always has them.
        """
        if used or not self.has_view_words or self.component_2d != DEFAULT_2D:
            return self
        parts = {role: path for role, path in self.raw["parts"].items() if role != VIEW_WORDS_ROLE}
        lost = {self.path_of(VIEW_WORDS_ROLE)} - set(parts.values())
        files = {path: of for path, of in self.files.items() if path not in lost}
        return replace(self, raw=self.raw | {"parts": parts, "files": files})

    def path_of(self, role: str) -> str:
        """Path, inside the bundle, of the folder or file that plays a role.

        Raises:
            BundleError: nothing in this bundle does.
        """
        role = self._chosen(role)
        if role not in self.raw["parts"]:
            raise BundleError(
                f"The bundle {self.name!r} has no {role!r}; it has: "
                f"{', '.join(sorted(self.raw['parts']))}.\nChoose another one with --bundle."
            )
        return str(self.raw["parts"][role])

    def part(self, role: str) -> Path:
        """The folder or file that plays a role.

        Raises:
            BundleError: nothing in this bundle does.
        """
        return self.folder / self.path_of(role)

    def config(self, role: str) -> dict[str, Any]:
        """The `config.json` of the folder that plays a role.

        Raises:
            BundleError: it is missing or no JSON.
        """
        return read_config(self.part(role) / "config.json")

    def has(self, role: str) -> bool:
        """Returns True if the bundle has a component for an optional role."""
        return self._chosen(role) in self.raw["parts"]

    def _chosen(self, role: str) -> str:
        """The role of the chosen prior, where it has one of its own; else the role as it is."""
        component, _, own = role.partition(".")
        components = {DEFAULT_2D: self.component_2d, DEFAULT_3D: self.component_3d}
        chosen = f"{components.get(component, component)}.{own}"
        return chosen if chosen in self.raw["parts"] else role


def _digest_of(hashes: Iterable[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object of a bundle.

    Raises:
        BundleError: the file is missing, damaged or another value.
    """
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path} cannot be read ({reason(error)}).\nInstall or import the bundle again."
        ) from error


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
    folder = shipped if is_file(shipped / "bundle.json") else Path(bundle)
    path = folder / "bundle.json"
    if not is_file(path):
        raise BundleError(
            f"There is no bundle {str(bundle)!r}: neither shipped with xbind "
            f"({', '.join(shipped_bundles()) or 'none'}) nor a folder with a bundle.json.\n"
            f"Give one of the names, or the path of a bundle's folder, to --bundle."
        )
    try:
        raw = read_json_object(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, reason(error)) from error
    defaults = {"priors_2d": DEFAULT_2D, "priors_3d": DEFAULT_3D}
    fault = fault_in(raw, FORMAT, ROLES, defaults, JUDGE_ROLES) or _lacking(raw)
    if fault is not None:
        raise _damaged(path, fault)
    return BundleManifest(folder, raw)


def _lacking(raw: Mapping[str, Any]) -> str | None:
    """What a prior lacks of its own, as a sentence; None if everything is there."""
    for table, roles in (("priors_2d", OWN_2D), ("priors_3d", OWN_3D)):
        components = [entry["component"] for entry in raw.get(table, {}).values()]
        wanted = [f"{c}.{own}" for c in components if c != DEFAULT_2D for own in roles]
        missing = [role for role in wanted if role not in raw["parts"]]
        if missing:
            return f"parts lacks {', '.join(missing)}, which {table} wants"
        if table == "priors_2d" and (unsized := set(components) - raw.get("image_size", {}).keys()):
            return f"image_size lacks {', '.join(sorted(unsized))}, which priors_2d wants"
    return None


def _damaged(path: Path, why: str) -> BundleError:
    return BundleError(f"{path} is damaged: {why}.\nInstall or import the bundle again.")


def _unlisted(manifest: BundleManifest) -> Iterator[Path]:
    """What a component reads, and parts without any listed file: they could not be verified."""
    for part in sorted(set(manifest.raw["parts"].values())):
        path = manifest.folder / part
        if not any(f"{name}/".startswith(f"{part}/") for name in manifest.files):
            yield path
        for file in sorted(path.iterdir()) if path.is_dir() else ():
            name = file.relative_to(manifest.folder).as_posix()
            if file.suffix in _READ and name not in manifest.files:
                yield file


def verify(manifest: BundleManifest) -> None:
    """Compare every file with its recorded hash.

    Raises:
        BundleError: a file is missing, differs or is not listed; the message names it.
    """
    for path in _unlisted(manifest):
        raise BundleError(
            f"The bundle {manifest.name!r} is damaged: its bundle.json lists no hash for {path}.\n"
            f"Install or import the bundle again."
        )
    for name, record in manifest.files.items():
        path = manifest.folder / name
        fault = fault_of(path)
        if fault is not None:
            what = "is missing" if fault == "does not exist" else fault
            raise BundleError(
                f"The bundle {manifest.name!r} is incomplete: {path} {what}.\n"
                f"Install or import the bundle again."
            )
        try:
            found = sha256_file(path)
        except OSError as error:
            raise BundleError(
                f"{path} cannot be read ({reason(error)}).\nInstall or import the bundle again."
            ) from error
        if found != record["sha256"]:
            raise BundleError(
                f"The bundle {manifest.name!r} is damaged: {path}\n"
                f"  wanted sha256 {record['sha256']}\n  found         {found}\n"
                f"Install or import the bundle again."
            )
