"""An ONNX graph in the making: names, constants, and nodes that are made once."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from onnx import AttributeProto, NodeProto, TensorProto, helper
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from xbind.export.errors import ExportError
from xbind.export.record import Value

ONNX_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.bool: TensorProto.BOOL,
}
"""Element types that a graph may hold."""
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Operator forms that a backend prefers among equivalent ones."""

    spread_scalars: bool = False
    """Give a number that meets an image one element for each channel. TensorRT-RTX 1.7.1 cannot
    build some graphs without it ("same_symbolic_shapes" where a number follows a convolution)."""
    channel_norms: bool = False
    """Write group norms of images without a reshape. OpenVINO keeps images with the channels last,
    and would turn them to reshape them and back: a fifth of a step's time."""


class Builder:
    """Collects nodes and constants; what a lowering writes into.

    Two nodes with the same operator, inputs and attributes are one: a gradient that computes again
    what the forward pass has computed costs nothing.
    """

    def __init__(
        self, used: Set[Value], dialect: Dialect, *, upcast_attention: bool = False
    ) -> None:
        """Start empty.

        Args:
            used: values that something depends on.
            dialect: what the backend wants.
            upcast_attention: multiply queries and keys in float32, whatever the precision.
        """
        self._used = used
        self.dialect = dialect
        self.nodes: list[NodeProto] = []
        self.constants: dict[Value, Tensor] = {}
        self.initializers: dict[str, Tensor] = {}
        self.upcast_attention = upcast_attention
        self._names: dict[Value, str] = {}
        self._made: dict[tuple[Any, ...], tuple[str, ...]] = {}
        self._stored: dict[tuple[Any, ...], str] = {}

    def bind(self, value: Value, name: str) -> None:
        """Say under which name the graph holds a value."""
        self._names[value] = name

    def is_used(self, value: Value | None) -> bool:
        """Returns True if any node or output depends on a value."""
        return value in self._used

    def name(self, value: Value) -> str:
        """The name of a value; a constant enters the graph when it is first asked for.

        Raises:
            ExportError: no node computes it, such as a statistic that only a gradient needs.
        """
        if value not in self._names and value not in self.constants:
            raise ExportError(f"Nothing in the graph computes a tensor of shape {value.shape}.")
        if value not in self._names:
            self._names[value] = self.constant(self.constants[value])
        return self._names[value]

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        """Add a node of one output and return its name; an empty input is left out."""
        return self.nodes_of(op, inputs, 1, **attributes)[0]

    def nodes_of(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: int,
        **attributes: Any,  # noqa: ANN401
    ) -> tuple[str, ...]:
        """Add a node of several outputs."""
        key = (op, tuple(inputs), outputs, repr(sorted(attributes.items())))
        if key not in self._made:
            serial = len(self.nodes)
            names = tuple(f"{op}_{serial}{f'_{i}' if i else ''}" for i in range(outputs))
            node = helper.make_node(op, list(inputs), list(names), name=f"{op}_{serial}")
            node.attribute.extend(_attribute(k, v) for k, v in sorted(attributes.items()))
            self.nodes.append(node)
            self._made[key] = names
        return self._made[key]

    def constant(self, tensor: Tensor, name: str | None = None) -> str:
        """The name of a constant; the same memory, or the same few numbers, are stored once."""
        if tensor.dtype not in ONNX_TYPES:
            raise ExportError(f"A constant of {tensor.dtype} does not fit into a graph.")
        key = (tensor.dtype, tuple(tensor.shape), _content(tensor))
        if key not in self._stored:
            name = name or f"const_{len(self._stored)}"
            self._stored[key] = name
            self.initializers[name] = tensor
        return self._stored[key]

    def scalar(self, value: float, dtype: torch.dtype) -> str:
        """The name of a 0-dimensional constant."""
        return self.constant(torch.tensor(value, dtype=dtype))

    def number(self, value: float, like: Value) -> str:
        """The name of a constant that meets a tensor, of the tensor's type."""
        if self.dialect.spread_scalars and len(like.shape) == 4:
            shape = (1, like.shape[1], 1, 1)
            return self.constant(torch.full(shape, value, dtype=like.dtype))
        return self.scalar(value, like.dtype)

    def ints(self, *values: int) -> str:
        """The name of a constant list of int64, as many operators take for axes and shapes."""
        return self.constant(torch.tensor(values, dtype=torch.int64))

    def cast(self, name: str, source: torch.dtype, target: torch.dtype) -> str:
        """The value in another element type."""
        return name if source == target else self.node("Cast", name, to=ONNX_TYPES[target])

    def wide(self, value: Value) -> str:
        """A value in float32 at least: norms, softmax and sums lose too much in half."""
        return self.cast(self.name(value), value.dtype, widened(value.dtype))

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """The value in another shape of the same size."""
        if not shape:  # an empty list of axes is a constant that TensorRT stumbles over
            return self.node("Squeeze", name)
        return self.node("Reshape", name, self.ints(*shape))


def _content(tensor: Tensor) -> str:
    """Returns a key that identifies a constant among those of its type and shape."""
    if isinstance(tensor, FakeTensor):  # a shape without numbers, counted by `footprint`
        place = tensor.untyped_storage()._cdata, tensor.storage_offset()
        return repr((place, tensor.stride()))
    if tensor.numel() <= 512:
        return repr(tuple(tensor.flatten().tolist()))
    return repr((tensor.data_ptr(), tensor.stride()))


def widened(dtype: torch.dtype) -> torch.dtype:
    """float32 for the half types, any other type as it is."""
    return torch.float32 if dtype in HALF else dtype


def _attribute(name: str, value: Any) -> AttributeProto:  # noqa: ANN401
    if isinstance(value, (list, tuple)) and not value:
        raise ExportError(f"The attribute {name!r} is an empty list.")
    return helper.make_attribute(name, value)
