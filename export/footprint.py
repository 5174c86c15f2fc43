"""The memory that a graph needs, counted from its shapes; its weights may be shapes as well.

Counted is what a runtime holds that runs the nodes in their order, gives memory back after the last
use of a tensor, reshapes without a copy, and lets an elementwise operator write over an input that
nothing needs any more. Of what kernels need for themselves one thing is counted, as workspace: a
convolution turns its input and its output into another layout while it runs.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper
from torch._subclasses.fake_tensor import FakeTensor

from xbind.export.builder import ONNX_TYPES
from xbind.export.onnx_graph import SMALL, Graph, initializer

_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
"""The output is the first input's memory."""
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
"""Computed in a layout of their own: the input is turned into it, the output back."""
_IN_PLACE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Neg", "Exp", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Erf",
     "Softmax", "Clip", "Min", "Max", "Pow"}
)  # fmt: skip
"""The output may take the memory of an input of its size."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a graph needs."""

    weights: int
    """All constants, those that only the gradient needs included."""
    activations: int
    """Most that its tensors take at any moment, inputs and outputs included."""
    workspace: int
    """Extra bytes for the layouts of convolutions, at the peak."""
    attention: int
    """Part of the activations that is attention maps, which fused kernels would not store."""

    @property
    def running(self) -> int:
        """Activations and workspace: what the graph needs while it runs, beside its weights."""
        return self.activations + self.workspace


def footprint(graph: Graph) -> Footprint:
    """Count a graph."""
    sizes = _sizes(graph)
    activations = _peak(graph, sizes, layouts=False)
    running = _peak(graph, sizes, layouts=True)
    fused = _peak(graph, sizes | dict.fromkeys(_attention_maps(graph.model), 0), layouts=False)
    return Footprint(graph.weight_bytes, activations, running - activations, activations - fused)


def _sizes(graph: Graph) -> dict[str, int]:
    """Bytes of every tensor that is computed, by name."""
    model = ModelProto()
    model.CopyFrom(graph.model)
    for name, tensor in graph.weights.items():
        if isinstance(tensor, FakeTensor) or tensor.numel() > SMALL:
            info = helper.make_tensor_value_info(name, ONNX_TYPES[tensor.dtype], tensor.shape)
            model.graph.input.append(info)
        else:  # shapes and axes among them, without which nothing can be inferred
            model.graph.initializer.append(initializer(name, tensor))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    values = (*inferred.graph.value_info, *graph.model.graph.input, *inferred.graph.output)
    return {value.name: _bytes(value.type.tensor_type) for value in values}


def _bytes(kind: onnx.TypeProto.Tensor) -> int:
    count = math.prod(dimension.dim_value for dimension in kind.shape.dim)
    element: int = helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
    return count * (2 if kind.elem_type == TensorProto.BFLOAT16 else element)


def _attention_maps(model: ModelProto) -> Iterator[str]:
    """Logits and softmax, with what their gradient makes of them."""
    maps: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Softmax" or (
            node.op_type in _IN_PLACE | _VIEWS | {"Cast"} and maps.intersection(node.input)
        ):
            maps.update(node.output)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type == "Softmax":
            maps.update(_behind(node.input[0], makers))
    return iter(maps)


def _behind(name: str, makers: dict[str, NodeProto]) -> Iterator[str]:
    """Returns the product of queries and keys that a softmax was computed from."""
    while name in makers:
        yield name
        if makers[name].op_type not in ("Cast", "Add", "Mul"):
            return
        name = makers[name].input[0]


def _peak(graph: Graph, sizes: dict[str, int], *, layouts: bool) -> int:
    """The most bytes that live at once, weights left out."""
    nodes = graph.model.graph.node
    root: dict[str, str] = {}
    for node in nodes:
        if node.op_type in _VIEWS and node.input[0] in sizes:
            root[node.output[0]] = root.get(node.input[0], node.input[0])
    owner = {name: root.get(name, name) for name in sizes}
    forever = {owner[name] for name in (*graph.spec.input_names, *graph.spec.output_names)}
    reads = [{owner[name] for name in node.input if name in owner} for node in nodes]
    left = Counter(name for names in reads for name in names)
    size = {name: sizes[name] for name in set(owner.values())}
    live = sum(size[owner[name]] for name in graph.spec.input_names)
    peak = live
    for node, names in zip(nodes, reads, strict=True):
        made = {owner[name] for name in node.output if owner.get(name) == name}
        dying = {name for name in names if left[name] == 1 and name not in forever}
        live += sum(size[name] for name in made)
        freed = sum(size[name] for name in dying)
        reused = node.op_type in _IN_PLACE and any(
            size[name] == size[new] for name in dying for new in made
        )
        spared = max(size[name] for name in made) if reused else 0
        turned = layouts and node.op_type in _CONVOLUTIONS
        scratch = sizes.get(node.input[0], 0) + sizes[node.output[0]] if turned else 0
        peak = max(peak, live - spared + scratch)
        live -= freed
        left.subtract(names)
    return peak
