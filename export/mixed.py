"""Changes to a lowered graph in half precision: all of it in float32, some of it, all of it shown.

Nodes are known by their names, which are the same each time that a module is recorded and lowered
by the same code.
"""

from collections.abc import Collection, Sequence

import onnx
from onnx import ModelProto, TensorProto, helper

from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.export.builder import ONNX_TYPES
from xbind.export.errors import ExportError
from xbind.export.onnx_graph import Graph

HALF = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_NAMES = {int(code): str(dtype).removeprefix("torch.") for dtype, code in ONNX_TYPES.items()}
_WIDE = ".float32"
"""Ends the name of a tensor's float32 form."""


def widened(graph: Graph) -> Graph:
    """The same nodes and tensors, all in float32: what a graph in half is measured against."""
    model = _copy(graph)
    for node in model.graph.node:
        _cast_to_float32(node)
    weights = {
        name: tensor.float() if ONNX_TYPES[tensor.dtype] in HALF else tensor
        for name, tensor in graph.weights.items()
    }
    return Graph(graph.spec, model, weights)


def keep_float32(graph: Graph, names: Collection[str]) -> Graph:
    """The same graph with some nodes computed in float32.

    A kept node reads its half inputs in float32. Between two kept nodes a tensor stays in float32,
    so that a value beyond half's range survives; every other node reads it in half.

    Args:
        graph: in half; its outside is in float32 in any case.
        names: of the nodes.

    Raises:
        ExportError: a name is not that of a node.
    """
    kept = set(names)
    if unknown := sorted(kept - {node.name for node in graph.model.graph.node}):
        raise ExportError(
            f"The graph {graph.spec.name!r} has no node {', '.join(unknown)}.\n"
            "Find the layers to keep in float32 again with `xbind engines diagnose`."
        )
    types = element_types(graph)
    model, made = _copy(graph), []
    wide: set[str] = set()  # tensors whose float32 form is there
    for node in _copy(graph).graph.node:
        if node.name in kept:
            for position, name in enumerate(node.input):
                if types.get(name) in HALF:
                    if name not in wide:
                        made.append(_cast(name, name + _WIDE, TensorProto.FLOAT))
                        wide.add(name)
                    node.input[position] = name + _WIDE
            _cast_to_float32(node)
            narrow = []
            for position, name in enumerate(node.output):
                if types.get(name) in HALF:
                    node.output[position] = name + _WIDE
                    wide.add(name)
                    narrow.append(_cast(name + _WIDE, name, types[name]))
            made += [node, *narrow]  # a cast that nothing reads is dropped by every builder
        else:
            made.append(node)
    del model.graph.node[:]
    model.graph.node.extend(made)
    return Graph(graph.spec, model, graph.weights)


def marked(graph: Graph, names: Sequence[str]) -> Graph:
    """The same graph with intermediate tensors among its outputs.

    Args:
        graph: any graph.
        names: of floating-point tensors whose shape ONNX infers; see `tensors_of`.
    """
    model, infos = _copy(graph), _inferred(graph)
    own = set(graph.spec.output_names)
    specs = []
    for name in names:
        if name not in own:
            info = infos[name]
            model.graph.output.append(info)
            shape = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
            specs.append(TensorSpec(name, _NAMES[info.type.tensor_type.elem_type], shape))
    spec = GraphSpec(graph.spec.name, graph.spec.inputs, (*graph.spec.outputs, *specs))
    return Graph(spec, model, graph.weights)


def tensors_of(graph: Graph) -> dict[str, onnx.NodeProto]:
    """Name of every floating-point tensor that a node computes → that node, in order."""
    types = element_types(graph)
    floating = (*HALF, TensorProto.FLOAT)
    return {
        name: node
        for node in graph.model.graph.node
        for name in node.output
        if types.get(name) in floating
    }


def element_types(graph: Graph) -> dict[str, int]:
    """Name of every tensor → its element type, as ONNX numbers them."""
    types = {name: ONNX_TYPES[tensor.dtype] for name, tensor in graph.weights.items()}
    return types | {
        name: info.type.tensor_type.elem_type for name, info in _inferred(graph).items()
    }


def _inferred(graph: Graph) -> dict[str, onnx.ValueInfoProto]:
    """Type and shape of every tensor but the weights; their numbers are only given where small."""
    from xbind.export.onnx_graph import SMALL, initializer

    model = _copy(graph)
    for name, tensor in graph.weights.items():
        if tensor.numel() <= SMALL:  # axes and shapes, which shapes are inferred from
            model.graph.initializer.append(initializer(name, tensor))
        else:
            kind = ONNX_TYPES[tensor.dtype]
            model.graph.input.append(helper.make_tensor_value_info(name, kind, tensor.shape))
    found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    return {info.name: info for info in (*found.input, *found.value_info, *found.output)}


def _copy(graph: Graph) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(graph.model)
    return model


def _cast_to_float32(node: onnx.NodeProto) -> None:
    """Let a cast to half be one to float32."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in HALF:
            attribute.i = TensorProto.FLOAT


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}.cast", to=kind)
