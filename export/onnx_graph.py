"""A recorded run as an ONNX graph: lowered, checked, saved.

Weights of more than `EMBEDDED_BYTES` go to a file beside the graph, because no protobuf message
may be larger than 2 GiB. The same run gives the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import ModelProto, TensorProto, helper
from torch import Tensor

from xbind.engine.spec import GraphSpec, TensorSpec
from xbind.export.builder import ONNX_TYPES, Builder, Dialect
from xbind.export.errors import ExportError
from xbind.export.lowerings import LOWERINGS
from xbind.export.record import Call, Recording, Value

OPSET = 22
"""The first that has convolutions in bfloat16."""
PLAIN = Dialect()
"""ONNX as ONNX Runtime wants it."""
IR_VERSION = 10
"""Version of the file format: the newest that TensorRT 10 and ONNX Runtime 1.20 read."""
EMBEDDED_BYTES = 2**30
"""Weights above this size go to a file of their own."""
SMALL = 32
"""Elements of a weight that stays in the graph in any case."""
MODEL = "model.onnx"
"""File name of a graph."""
WEIGHTS = "model.onnx.data"
"""File name of its weights, where they are not inside."""
_ALIGNMENT = 4096
"""Alignment in bytes of each weight in its file, so that it can be memory-mapped."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A lowered run, its weights still torch tensors."""

    spec: GraphSpec
    model: ModelProto
    """Without its initializers."""
    weights: dict[str, Tensor]

    @property
    def weight_bytes(self) -> int:
        """Size of all weights."""
        return sum(t.numel() * t.element_size() for t in self.weights.values())


def lower(
    name: str,
    recording: Recording,
    dialect: Dialect = PLAIN,
    *,
    upcast_attention: bool = False,
) -> Graph:
    """Write a recorded run as a graph.

    Args:
        name: of the graph.
        recording: what `record` returned.
        dialect: what the backend wants; the same result in each.
        upcast_attention: multiply queries and keys in float32, whatever the precision.

    Raises:
        ExportError: the run holds an operation that no graph can hold; the message names it.
    """
    used = _used(recording)
    g = Builder(used, dialect, upcast_attention=upcast_attention)
    g.constants.update(recording.constants)
    for value, weight in recording.names.items():
        if value in used:
            g.bind(value, g.constant(recording.constants[value], weight))
    for feed, value in recording.inputs.items():
        g.bind(value, feed)
    for call in recording.calls:
        if any(map(g.is_used, call.outputs)):
            _lower_call(g, call)
    for output, value in recording.outputs.items():
        g.nodes.append(helper.make_node("Identity", [g.name(value)], [output], name=output))
    spec = GraphSpec(name, specs_of(recording.inputs), specs_of(recording.outputs))
    # A parameter that only folded constants were made of is not needed beside them.
    read = {name for node in g.nodes for name in node.input}
    weights = {name: weight for name, weight in g.initializers.items() if name in read}
    return Graph(spec, _model(spec, g), weights)


def _used(recording: Recording) -> set[Value]:
    """Every value that an output depends on."""
    used = set(recording.outputs.values())
    for call in reversed(recording.calls):
        if used.intersection(call.outputs):
            used.update(_values(call.arguments.values()))
    return used


def _values(arguments: Any) -> Iterator[Value]:  # noqa: ANN401
    for x in arguments:
        if isinstance(x, Value):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _values(x)


def _lower_call(g: Builder, call: Call) -> None:
    if all(value in g.constants for value in _values(call.arguments.values())):
        results = _evaluate(g, call)
    elif call.op in LOWERINGS:
        results = LOWERINGS[call.op](g, call, *call.arguments.values())
    else:
        raise ExportError(
            f"No graph can hold the operation {call.op} yet (result {call.outputs}).\n"
            "Add it to the tables in export/, or write the module without it."
        )
    results = results if isinstance(results, tuple) else (results,)
    for value, result in zip(call.outputs, results, strict=True):
        if value is not None and isinstance(result, Tensor):
            g.constants[value] = result
        elif value is not None and result is not None:
            g.bind(value, result)


def _evaluate(g: Builder, call: Call) -> tuple[Tensor, ...]:
    """The result of an operation on constants: a turned weight, a table of frequencies."""

    def real(x: Any) -> Any:  # noqa: ANN401
        if isinstance(x, Value):
            return g.constants[x]
        return [real(item) for item in x] if isinstance(x, list) else x

    with torch.no_grad():
        schema = call.op._schema.arguments
        args = [real(call.arguments[a.name]) for a in schema if not a.kwarg_only]
        kwargs = {a.name: real(call.arguments[a.name]) for a in schema if a.kwarg_only}
        result = call.op(*args, **kwargs)
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def specs_of(values: dict[str, Value]) -> tuple[TensorSpec, ...]:
    """Names, types and shapes of the inputs or outputs of a recording."""
    return tuple(
        TensorSpec(name, str(value.dtype).removeprefix("torch."), value.shape)
        for name, value in values.items()
    )


def _model(spec: GraphSpec, g: Builder) -> ModelProto:
    taken = {*g.initializers, *(name for node in g.nodes for name in node.output)}
    clash = taken.intersection(spec.input_names)
    if clash:
        raise ExportError(f"The graph {spec.name!r} already has something called {clash}.")

    def infos(specs: tuple[TensorSpec, ...]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(s.name, ONNX_TYPES[getattr(torch, s.dtype)], s.shape)
            for s in specs
        ]

    graph = helper.make_graph(g.nodes, spec.name, infos(spec.inputs), infos(spec.outputs))
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="xbind"
    )


def save(graph: Graph, folder: Path, *, embedded_bytes: int = EMBEDDED_BYTES) -> list[Path]:
    """Write `model.onnx`, and `model.onnx.data` for large weights, then check what was written.

    Args:
        graph: what to write.
        folder: an existing folder.
        embedded_bytes: weights above this size go to a file of their own.

    Returns:
        The files.

    Raises:
        ExportError: ONNX's own checker refuses the graph.
    """
    model = ModelProto()
    model.CopyFrom(graph.model)
    path, data = folder / MODEL, folder / WEIGHTS
    if graph.weight_bytes <= embedded_bytes:
        for name, tensor in graph.weights.items():
            model.graph.initializer.append(initializer(name, tensor))
        files = [path]
    else:
        model.graph.initializer.extend(_write_weights(graph.weights, data))
        files = [path, data]
    path.write_bytes(model.SerializeToString(deterministic=True))
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"ONNX refuses the graph {graph.spec.name!r}: {error}") from error
    return files


def initializer(name: str, tensor: Tensor) -> TensorProto:
    """A weight with its numbers."""
    proto = _proto(name, tensor)
    proto.raw_data = _bytes(tensor)
    return proto


def _proto(name: str, tensor: Tensor) -> TensorProto:
    return TensorProto(name=name, data_type=ONNX_TYPES[tensor.dtype], dims=tensor.shape)


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.numel() and flat.stride(0) != 1:  # one number that was expanded
        flat = flat.clone(memory_format=torch.contiguous_format).as_strided(flat.shape, (1,))
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _write_weights(weights: dict[str, Tensor], path: Path) -> Iterator[TensorProto]:
    """Writes the weights into one file, and yields the graph's entry for each.

    Small ones and integers stay in the graph: shapes, axes and lengths of parts, which have to be
    read to check it.
    """
    with path.open("wb") as file:
        for name, tensor in weights.items():
            if tensor.numel() <= SMALL or not tensor.is_floating_point():
                yield initializer(name, tensor)
                continue
            file.write(b"\0" * (-file.tell() % _ALIGNMENT))
            proto = _proto(name, tensor)
            proto.data_location = TensorProto.EXTERNAL
            offset = file.tell()
            file.write(_bytes(tensor))
            for key, value in {
                "location": path.name, "offset": offset, "length": file.tell() - offset,
            }.items():  # fmt: skip
                proto.external_data.add(key=key, value=str(value))
            yield proto
