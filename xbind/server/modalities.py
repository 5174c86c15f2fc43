"""What the prompts of a bundle can be made of, read from its files without its networks."""

from functools import cache

from xbind.config.options import MODALITIES
from xbind.networks.manifest import load_manifest
from xbind.server.errors import BadPrompt
from xbind.server.uploads import SUFFIXES

_VISION = {"image": "vision", "video": "vision"}
"""Modalities whose trunk has another name than they have, as in ImageBind."""


@cache
def modalities_of(bundle: str) -> dict[str, list[str]]:
    """Returns modalities and `mask` → suffixes of the files that each is read from; text has none.

    Raises:
        BundleError: there is no such bundle, or a file of it is damaged.
    """
    trunks = load_manifest(bundle).config("bind")["trunks"]
    found = [modality for modality in MODALITIES if _VISION.get(modality, modality) in trunks]
    names = [*found, *(["mask"] if "image" in found else [])]
    return {name: list(SUFFIXES.get(name, ())) for name in names}


def check_modalities(bundle: str, names: set[str]) -> None:
    """Refuse modalities that a bundle cannot encode.

    Raises:
        BadPrompt: lists those that it can.
    """
    known = modalities_of(bundle)
    if unknown := sorted(names - known.keys()):
        raise BadPrompt(
            f"The bundle {bundle!r} cannot read {', '.join(unknown)}.\nIt reads {', '.join(known)}."
        )
