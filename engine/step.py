"""A compiled guidance step, called like the eager one."""

from collections.abc import Sequence

from torch import Tensor

from xbind.engine.backend import Backend
from xbind.engine.errors import FeedError


class EngineStep:
    """A guidance step that runs in engines: same feeds, same outputs as the module it was made of.

    Graphs have static shapes, so there is one engine for every shape of the first input that a run
    uses. `xbind.losses.step.guide` makes it one differentiable call.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        """`backends`: the same step at different shapes."""
        self._backends = {backend.spec.inputs[0].shape: backend for backend in backends}
        spec = backends[0].spec
        self.inputs, self.outputs = spec.input_names, spec.output_names

    def __call__(self, image: Tensor, /, **feeds: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each of `outputs`.

        Raises:
            FeedError: there is no engine for this shape, or a feed does not fit it.
        """
        shape = tuple(image.shape)
        if shape not in self._backends:
            raise FeedError(
                f"No engine takes {self.inputs[0]!r} as {list(shape)}; there are engines for "
                f"{', '.join(str(list(s)) for s in self._backends)}.\n"
                "Build one for this shape, or choose --engine eager."
            )
        outputs = self._backends[shape].run({self.inputs[0]: image, **feeds})
        return tuple(outputs[name] for name in self.outputs)

    def close(self) -> None:
        """Give back every engine."""
        for backend in self._backends.values():
            backend.close()
