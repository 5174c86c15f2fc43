"""The signature of a compiled graph, and the one place that checks feeds against it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from xbind.engine.errors import FeedError

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int64": torch.int64,
    "int32": torch.int32,
    "bool": torch.bool,
}
"""Names of the element types that a graph may take and return."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and type of one input or output. Shapes are static."""

    name: str
    dtype: str
    """A key of `DTYPES`."""
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> "TensorSpec":
        """The spec that `tensor` fits."""
        return cls(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"

    def empty(self, device: torch.device) -> Tensor:
        """A tensor of this spec, its content undefined."""
        return torch.empty(self.shape, dtype=DTYPES[self.dtype], device=device)


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph's name, inputs and outputs, in their order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs; of a guidance step the first is the one differentiated."""
        return tuple(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs; of a guidance step `loss` and `x_bar`."""
        return tuple(spec.name for spec in self.outputs)

    def check(self, feeds: Mapping[str, Tensor]) -> None:
        """Refuse feeds that do not fit.

        Raises:
            FeedError: a feed is missing, unknown, or of another type or shape; the message
                names it.
        """
        if feeds.keys() != set(self.input_names):
            raise FeedError(
                f"The graph {self.name!r} takes {list(self.input_names)}, got {sorted(feeds)}.\n"
                "Give every input by its name, and no other."
            )
        for wanted in self.inputs:
            found = TensorSpec.of(wanted.name, feeds[wanted.name])
            if found != wanted:
                raise FeedError(
                    f"The graph {self.name!r} takes {wanted.name!r} as {wanted}, got {found}.\n"
                    "Build a graph for this shape, or choose --engine eager."
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a sidecar."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "GraphSpec":
        """Read back `to_dict`."""

        def tensors(rows: list[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(r["name"], r["dtype"], tuple(r["shape"])) for r in rows)

        return cls(raw["name"], tensors(raw["inputs"]), tensors(raw["outputs"]))
