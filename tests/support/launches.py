"""What a piece of torch code asks of its device, operator by operator."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal.default", "unique", "lift_fresh")
"""Parts of names of operators that read a value on the host, have a size that only the device
knows, or copy from the host."""


class Launches(TorchDispatchMode):
    """Notes each operator with the numbers and options among its arguments."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        kept = (bool, int, float, str, torch.dtype, torch.device, torch.memory_format)
        name = str(func)
        if name.startswith("aten.index") and any(
            isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in tree_leaves(args[1])
        ):
            name = f"{name} of nonzero"
        self.seen.append((name, [x for x in given if isinstance(x, kept)]))
        return func(*args, **(kwargs or {}))

    def waits(self):
        """Names of the operators for which a host waits for a GPU."""
        return [name for name, _ in self.seen if any(word in name for word in WAITS)]
