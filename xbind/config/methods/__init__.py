"""The systems of Table II as data: each is a change of a preset's numbers, on a page of its own.

docs/reference/methods.md compares the numbers for public networks with threestudio's, one by one.
Read-only; no torch here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from xbind.config.method import MethodConfig
from xbind.config.methods import dreamfusion, fantasia3d, magic3d, prolificdreamer


@dataclass(frozen=True, slots=True)
class System:
    """A text-to-3D system on the numbers of a preset."""

    mini: Callable[[MethodConfig], MethodConfig]
    """Its numbers for priors of 64 pixels, over as many iterations as the preset has in all."""
    public: Callable[[MethodConfig], MethodConfig]
    """threestudio's numbers, for the public networks; only sizes of files are the preset's."""


SYSTEMS: dict[str, System] = {
    "dreamfusion": System(dreamfusion.mini, dreamfusion.public),
    "magic3d": System(magic3d.mini, magic3d.public),
    "fantasia3d": System(fantasia3d.mini, fantasia3d.public),
    "prolificdreamer": System(prolificdreamer.mini, prolificdreamer.public),
}
"""Name → system, in the order of Table II."""
FAST_SHARE = 0.1
"""Share of threestudio's iterations that a system takes with the preset `fast`."""
