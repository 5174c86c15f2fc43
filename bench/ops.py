"""Counts what torch is asked to do: arithmetic and traffic of every operation.

It sits below autograd, so a gradient that a module computes inside of itself is counted, and it
works on fake tensors, so networks that do not fit this machine can be counted as well.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_VIEWS = frozenset(
    getattr(torch.ops.aten, name)
    for name in (
        "view", "_unsafe_view", "reshape", "expand", "transpose", "permute", "t", "slice", "select",
        "split", "split_with_sizes", "chunk", "unsqueeze", "squeeze", "detach", "alias",
        "as_strided", "unbind", "lift_fresh", "_reshape_alias",
    )
)  # fmt: skip
"""Operations that move nothing."""


@dataclass(frozen=True, slots=True)
class Op:
    """Operation of a graph."""

    name: str
    flops: float
    """Arithmetic of a product, convolution or attention: 2 per multiplication and addition."""
    bytes: float
    """Its inputs and outputs, once each."""


class OpCounter(TorchDispatchMode):
    """Records every operation while it is open."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: list[Op] = []

    @property
    def flops(self) -> float:
        """Arithmetic of all operations."""
        return sum(op.flops for op in self.ops)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation and count it."""
        del types
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet not in _VIEWS:
            flops = float(_flops_of(packet, args, kwargs or {}, result))
            tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
            self.ops.append(Op(str(packet), flops, sum(x.nbytes for x in tensors)))
        return result


@contextmanager
def parameters_used() -> Iterator[set[Tensor]]:
    """The weights of every module that is called while it is open."""
    used: set[Tensor] = set()

    def note(module: nn.Module, _: object) -> None:
        used.update(module.parameters(recurse=False))

    handle = register_module_forward_pre_hook(note)
    try:
        yield used
    finally:
        handle.remove()


def _flops_of(
    packet: Any,  # noqa: ANN401
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    result: Any,  # noqa: ANN401
) -> float:
    if packet in _ATTENTION:
        return _ATTENTION[packet](args)
    if packet in flop_registry:
        count: float = flop_registry[packet](*args, **kwargs, out_val=result)
        return count
    return 0.0


def _product(q: Tensor, k: Tensor) -> float:
    """Two per multiplication and addition of q kᵀ, of every head."""
    b, heads, length, width = q.shape
    return 2.0 * b * heads * length * k.shape[2] * width


_ATTENTION: dict[Any, Callable[[tuple[Any, ...]], float]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda a: 2 * _product(a[0], a[1]),
    # q kᵀ once more, and the gradients of the logits, of the values, of q and of k
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda a: (
        5 * _product(a[1], a[2])
    ),
}
"""The CPU's attention, which torch's own counter does not know."""
