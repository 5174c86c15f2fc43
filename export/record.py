"""A module's run, written down as the aten operations that computed it, gradient included.

The recorder sits below autograd, so the operations of a gradient that the module computes inside
of itself are written down like any other. Nothing can be baked in unseen: a tensor that comes from
nowhere, a value that is read into Python, and a change in place that something else can see are
errors.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from xbind.export.errors import ExportError

_LITERAL = torch.ops.aten.lift_fresh.default
"""Operations that torch adds around tensor literals written in Python."""
_READ = torch.ops.aten._local_scalar_dense.default
"""Operations behind `float(x)`, `int(x)` and `if x:`."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """Tensor of a recorded run."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Operation of a recorded run."""

    op: OpOverload
    arguments: dict[str, Any]
    """By the names of the operation's schema, defaults filled in, tensors as `Value`."""
    outputs: tuple[Value | None, ...]

    @property
    def result(self) -> Value:
        """The first output, which every operation that is lowered has."""
        first = self.outputs[0]
        assert first is not None
        return first


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A run from inputs to outputs."""

    inputs: dict[str, Value]
    outputs: dict[str, Value]
    calls: list[Call]
    constants: dict[Value, Tensor]
    """Parameters, buffers and literals."""
    names: dict[Value, str]
    """Names of the constants that have one."""


def record(
    module: nn.Module,
    feeds: Mapping[str, Tensor],
    outputs: Sequence[str],
    *,
    compute: bool = True,
    shapes: FakeTensorMode | None = None,
) -> Recording:
    """Run `module(**feeds)` once and write down what it does.

    Args:
        module: frozen, on the device of the feeds.
        feeds: its inputs, in the order that the graph shall have.
        outputs: names of the tensors that it returns.
        compute: False follows shapes only, which takes no memory for activations: for networks
            that would take long to run.
        shapes: the mode to follow shapes in, for a module whose parameters are shapes already.

    Raises:
        ExportError: the run is not a function of the feeds that a graph can hold.
    """
    if shapes is None and not compute:
        shapes = FakeTensorMode(allow_non_fake_inputs=True)
    mode = nullcontext() if shapes is None else shapes
    with mode, torch.no_grad(), _unfused_attention():
        given = {
            k: v.clone() if shapes is None else shapes.from_tensor(v) for k, v in feeds.items()
        }
        recorder = _Recorder(module)
        inputs = {name: recorder.new(x) for name, x in given.items()}
        with recorder:
            returned = module(**given)
    results = (returned,) if isinstance(returned, Tensor) else tuple(returned)
    return Recording(
        inputs=inputs,
        outputs={n: recorder.value(x, "output") for n, x in zip(outputs, results, strict=True)},
        calls=recorder.calls,
        constants={value: x.detach() for value, x in recorder.constants.items()},
        names=recorder.names,
    )


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Let nn.MultiheadAttention do without the operation it has for inference, in one piece."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class _Recorder(TorchDispatchMode):
    """Sees every operation below autograd, with its tensors by identity."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.constants: dict[Value, Tensor] = {}
        self.names: dict[Value, str] = {}
        # By identity, and without keeping tensors alive: a run takes no more memory than it does.
        self._known: MutableMapping[Tensor, Value] = WeakIdKeyDictionary()
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            self.names[self._constant(tensor)] = name

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if func.namespace == "prim":  # a question about a tensor, such as where it is
            return func(*args, **kwargs)
        if func is _LITERAL:
            self._constant(args[0])
        bound = _bind(func, args, kwargs)
        _check_pure(func, bound)
        arguments = {name: self._written(x, func) for name, x in bound.items()}
        result = func(*args, **kwargs)
        if func._schema.is_mutable:
            self._check_unseen(args[0], func)
            func = _out_of_place(func)
        results = result if isinstance(result, (tuple, list)) else (result,)
        outputs = tuple(self.new(x) if isinstance(x, Tensor) else None for x in results)
        self.calls.append(Call(func, arguments, outputs))
        return result

    def new(self, tensor: Tensor) -> Value:
        """A value for a tensor that was just made."""
        value = Value(tuple(tensor.shape), tensor.dtype)
        self._known[tensor] = value
        return value

    def value(self, tensor: Tensor, op: object) -> Value:
        """The value of a tensor that was seen before.

        Raises:
            ExportError: it was not, so what is in it would become part of the graph.
        """
        if tensor not in self._known:
            raise ExportError(
                f"{op} takes a tensor {tuple(tensor.shape)} that is neither a feed, nor computed "
                "from one, nor a parameter or buffer of the module.\n"
                "Make it a feed, or register it as a buffer."
            )
        return self._known[tensor]

    def _check_unseen(self, changed: Tensor, op: OpOverload) -> None:
        """Only a tensor that shares its memory with no other may change.

        Raises:
            ExportError: another one would change with it, which a graph cannot say.
        """
        memory = changed.untyped_storage()._cdata
        shared = [x for x in self._known if x.untyped_storage()._cdata == memory]
        if len(shared) > 1 or self.value(changed, op) in self.constants:
            raise ExportError(
                f"The module changes a tensor in place ({op}) that it also holds in other ways.\n"
                "Make a new tensor of it."
            )

    def _constant(self, tensor: Tensor) -> Value:
        value = self.new(tensor)
        self.constants[value] = tensor
        return value

    def _written(self, x: Any, op: OpOverload) -> Any:  # noqa: ANN401
        if isinstance(x, Tensor):
            return self.value(x, op)
        if isinstance(x, (list, tuple)):
            return [self._written(item, op) for item in x]
        return x


def _check_pure(op: OpOverload, arguments: Mapping[str, Any]) -> None:
    if op is _READ:
        raise ExportError(
            "The module reads a tensor into Python, so its course would be fixed to the traced "
            "feeds.\nCompute with tensors throughout."
        )
    if torch.Tag.nondeterministic_seeded in op.tags and arguments.get("dropout_p") != 0.0:
        raise ExportError(f"The module draws random numbers ({op}).\nMake the draw a feed.")


def _out_of_place(op: OpOverload) -> OpOverload:
    """`masked_fill` for `masked_fill_`."""
    namespace, name = op._schema.name.split("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    if packet is None or op._overloadname not in packet.overloads():
        raise ExportError(f"{op} changes a tensor in place.\nMake a new tensor instead.")
    overload: OpOverload = getattr(packet, op._overloadname)
    return overload


def _bind(op: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name, with the schema's defaults."""
    bound = {}
    for position, argument in enumerate(op._schema.arguments):
        if position < len(args):
            bound[argument.name] = args[position]
        else:
            bound[argument.name] = kwargs.get(argument.name, argument.default_value)
    return bound
