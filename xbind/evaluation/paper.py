"""Figures of the paper's tables, to be shown beside those measured here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PaperTable = Literal["table-1", "table-2"]
"""Tables of the paper."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A table as the paper prints it."""

    source: str
    """Where it stands, and what it was measured on."""
    columns: tuple[tuple[str, str, str | None], ...]
    """Name of a column there; the figure that is nearest to it here; the kind of prompts that this
    one is taken over, or None for all."""
    rows: Mapping[str, tuple[float, ...]]
    """Name of a method there → its figures."""

    def row(self, label: str) -> tuple[float, ...] | None:
        """Returns the figures of a method, whatever the case of its name; None if it has none."""
        found = {name.casefold(): figures for name, figures in self.rows.items()}
        return found.get(label.casefold())


PRINTED: Mapping[PaperTable, Printed] = {
    "table-1": Printed(
        "Table I of the paper: its own prompts of all modalities, public networks",
        (("CLIP-R", "clip_r", None), ("CLIP-I", "clip_i", "image"), ("ARCC", "arcc_self", "audio")),
        {
            "ZeroStableCDS-3D": (0.4317, 0.6723, 0.3218),
            "StableSDS-3D": (0.5583, 0.8176, 0.4044),
            "ZeroSDS-3D": (0.4483, 0.7267, 0.3434),
            "XBind": (0.8050, 0.8554, 0.4860),
        },
    ),
    "table-2": Printed(
        "Table II of the paper: texts of the DreamFusion gallery, public networks, the other "
        "systems in threestudio's implementation",
        (("CLIP-R", "clip_r", None),),
        {
            "DreamFusion": (0.6576,),
            "Magic3D": (0.6181,),
            "Fantasia3D": (0.5250,),
            "ProlificDreamer": (0.7319,),
            "XBind": (0.8167,),
        },
    ),
}
"""Name in `--paper` → table."""
