"""A recorded run as an fx graph of torch: the operations as they were recorded, none lowered."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from xbind.engine.spec import GraphSpec
from xbind.export.onnx_graph import specs_of
from xbind.export.record import Call, Recording, Value

aten = torch.ops.aten


@dataclass(frozen=True, slots=True, eq=False)
class FxGraph:
    """A recorded run that torch can call and compile; its constants are where it was recorded."""

    spec: GraphSpec
    module: fx.GraphModule
    """Takes the inputs in their order and returns the outputs as a tuple, fresh tensors."""
    feeds: tuple[Tensor, ...]
    """The inputs of the recording, contiguous."""


def to_fx(name: str, recording: Recording, feeds: Mapping[str, Tensor]) -> FxGraph:
    """Writes a recorded run as an fx graph.

    Args:
        name: of the graph.
        recording: what `record` returned.
        feeds: the inputs that it was recorded with.
    """
    writer = _Writer(recording)
    for call in recording.calls:
        writer.write(call)
    writer.graph.output(tuple(map(writer.fresh, recording.outputs.values())))
    writer.graph.eliminate_dead_code()
    module = fx.GraphModule(writer.root, writer.graph)
    module.delete_all_unused_submodules()
    spec = GraphSpec(name, specs_of(recording.inputs), specs_of(recording.outputs))
    return FxGraph(spec, module, tuple(feeds[n].detach().contiguous() for n in spec.input_names))


class _Writer:
    """Turns calls into nodes; a constant enters the graph when it is first read."""

    def __init__(self, recording: Recording) -> None:
        self.graph, self.root = fx.Graph(), nn.Module()
        self._constants = recording.constants
        self._nodes = {v: self.graph.placeholder(n) for n, v in recording.inputs.items()}

    def write(self, call: Call) -> None:
        """Add the node of a call, and one for each of several outputs."""
        if call.op is aten.lift_fresh.default:  # a literal is a constant already
            self._nodes[call.result] = self._node(call.arguments["self"])
            return
        arguments = {a.name: self._read(call.arguments[a.name]) for a in call.op._schema.arguments}
        kwargs = {a.name: arguments[a.name] for a in call.op._schema.arguments if a.kwarg_only}
        args = tuple(x for name, x in arguments.items() if name not in kwargs)
        node = self.graph.call_function(call.op, args, kwargs)
        returns = call.op._schema.returns
        if len(returns) == 1 and str(returns[0].type) == "Tensor":  # or one list of tensors
            self._nodes[call.result] = node
            return
        for k, value in enumerate(call.outputs):
            if value is not None:
                self._nodes[value] = self.graph.call_function(operator.getitem, (node, k))

    def fresh(self, value: Value) -> fx.Node:
        """The node of an output: a copy of what is an input, a constant or a view."""
        node = self._node(value)
        maker: Any = node.args[0] if node.target is operator.getitem else node
        if isinstance(maker.target, OpOverload) and not maker.target.is_view:
            return node
        return self.graph.call_function(aten.clone.default, (node,))

    def _read(self, x: Any) -> Any:  # noqa: ANN401
        if isinstance(x, Value):
            return self._node(x)
        return [self._read(item) for item in x] if isinstance(x, list) else x

    def _node(self, value: Value) -> fx.Node:
        if value not in self._nodes:
            name = f"constant_{len(list(self.root.buffers()))}"
            self.root.register_buffer(name, self._constants[value])
            self._nodes[value] = self.graph.get_attr(name)
        return self._nodes[value]
