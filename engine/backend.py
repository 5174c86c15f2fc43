"""Base class of the backends: a loaded graph that maps feeds to outputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from xbind.engine.spec import GraphSpec


class Backend(ABC):
    """A loaded graph. Use it as a context manager; `run` is the only way in.

    A subclass implements `_run`, and `close` where it holds something; signatures are checked here.
    """

    def __init__(self, spec: GraphSpec) -> None:
        self.spec = spec

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph once.

        Args:
            feeds: one tensor for every input, by name.

        Returns:
            One tensor for every output, by name: fresh, never a buffer that is used again.

        Raises:
            FeedError: the feeds do not fit the graph.
        """
        self.spec.check(feeds)
        return self._run(feeds)

    @abstractmethod
    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the graph with feeds that fit."""

    def close(self) -> None:  # noqa: B027
        """Give back what the graph holds; it cannot run afterwards."""

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
