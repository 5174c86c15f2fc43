"""Eager torch: the definition that every other backend is compared with."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from xbind.engine.backend import Backend
from xbind.engine.spec import GraphSpec


class EagerBackend(Backend):
    """Calls the module itself."""

    def __init__(self, spec: GraphSpec, module: nn.Module) -> None:
        super().__init__(spec)
        self._module = module

    def _run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        returned: Any = self._module(**feeds)
        outputs = (returned,) if isinstance(returned, Tensor) else returned
        return dict(zip(self.spec.output_names, (x.detach() for x in outputs), strict=True))
