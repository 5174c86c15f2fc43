"""Base class of the backends: a loaded graph that maps feeds to outputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from xbind.engine.record import Entry
from xbind.engine.spec import GraphSpec
from xbind.engine.workspace import Workspace


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


class Runtime(ABC):
    """The library that runs the engines of a backend.

    Each method raises `BackendUnavailable` where the library is not installed here; only methods
    import it.
    """

    def __init__(self, backend: str) -> None:
        """`backend`: name of its record, for a library that serves several."""
        self.backend = backend

    @abstractmethod
    def version(self) -> str:
        """The full version of the library, which every engine depends on."""

    @abstractmethod
    def target(self) -> str:
        """The hardware that an engine built for this machine is bound to.

        Raises:
            BackendUnavailable: it needs a device that is not here, or does not build for it.
        """

    @abstractmethod
    def check_precision(self, precision: str, targets: Sequence[str] = ()) -> None:
        """Refuse a precision that this machine lacks, or one of the architectures `targets`.

        Raises:
            BackendUnavailable: names the precisions that there are.
        """

    @abstractmethod
    def open(
        self,
        entry: Entry,
        *,
        threads: int,
        workspace: Workspace | None = None,
        device: torch.device | None = None,
    ) -> Backend:
        """Load an engine that the store has checked: see `open_backend`."""

    def default_targets(self) -> tuple[str, ...]:
        """Architectures to build for here, where one engine can serve several GPUs; else empty.

        Raises:
            BackendUnavailable: there is no GPU, or it does not build for it.
        """
        return ()

    def check_starts(self) -> None:  # noqa: B027
        """Refuse a library that is installed and does not start, as with a driver too old for it.

        Raises:
            EngineError: the message says why.
        """

    def card(self, target: str) -> str | None:
        """The GPU here that runs an engine for `target`; None if it runs on no GPU here."""
        del target
        return None
