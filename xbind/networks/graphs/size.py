"""A graph at one size. Shapes are static: the same step at another size is another graph."""

import re
from dataclasses import dataclass

from xbind.engine.errors import EngineError


@dataclass(frozen=True, slots=True, order=True)
class GraphRequest:
    """A graph at one size."""

    name: str
    """A key of `xbind.networks.graphs.GRAPHS`."""
    batch: int
    """First axis of its first input."""
    size: int
    """Side of its images, in pixels, where it takes images of any size; else 0."""
    shown: int = 0
    """Side of the images that the 2D prior sees, in pixels, where not its own; else 0."""
    two_passes: bool = False
    """True if guidance takes two passes of the UNet at the batch, False for one at twice that."""
    rank: int = 0
    """Rank of the estimator's changes in VSD; else 0."""

    @property
    def label(self) -> str:
        """A file name, such as `sds2d_img-b1-64px`, or `sds2d_img-b1-128px-at256px`."""
        size = f"-{self.size}px" if self.size else ""
        shown = f"-at{self.shown}px" if self.shown else ""
        rank = f"-rank{self.rank}" if self.rank else ""
        passes = "-2passes" if self.two_passes else ""
        return f"{self.name}-b{self.batch}{size}{shown}{rank}{passes}"


def request_labelled(label: str) -> GraphRequest:
    """The request whose `label` this is.

    Raises:
        EngineError: it is none.
    """
    form = r"(\w+)-b(\d+)(?:-(\d+)px)?(?:-at(\d+)px)?(?:-rank(\d+))?(-2passes)?"
    if (found := re.fullmatch(form, label)) is None:
        raise EngineError(f"{label!r} does not name a graph and its sizes, as ms-b3-64px does.")
    name, batch, size, shown, rank, split = found.groups()
    return GraphRequest(
        name, int(batch), int(size or 0), int(shown or 0),
        two_passes=split is not None, rank=int(rank or 0),
    )  # fmt: skip
