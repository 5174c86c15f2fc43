"""Grid and MLP in one launch, by tinycudann, in half precision. The only file that imports it.

Our parameters stay where they are; each call packs them the way tinycudann keeps its own. Two facts
make that a matter of order and padding:

- A level is one of its hash grids: dense or hashed by the same rule, with the same primes.
- It reads a grid of R + 1 vertices at x R + ½, half a cell beside ours; so every level is given its
  own x − ½/R, and the levels are separate grids of a composite encoding.
"""

from functools import cache

import tinycudann
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from xbind.kernels.errors import KernelError

WIDTHS = (16, 32, 64, 128)
"""Widths of the hidden layer that tinycudann's fused MLP supports."""
FEATURES = (1, 2, 4, 8)
"""Features per vertex that its grids support."""
ALIGNMENT = 16
"""Multiple to which the MLP's inputs and outputs are padded; padding has zero weights."""


def grid_mlp(
    x: Tensor,
    table: Tensor,
    hidden_weight: Tensor,
    output_weight: Tensor,
    resolutions: tuple[int, ...],
) -> Tensor:
    """See `xbind.kernels.grid_mlp`.

    Raises:
        KernelError: tinycudann has no grid or MLP of this size.
    """
    _, entries, features = table.shape
    outputs, hidden = output_weight.shape
    if hidden not in WIDTHS or features not in FEATURES:
        raise KernelError(
            f"tinycudann has MLPs of width {WIDTHS} and grids of {FEATURES} features, found "
            f"{hidden} and {features}.\nChange `hidden` and `features`, or pass impl='triton'."
        )
    with torch.cuda.device_of(x):
        network = _network(resolutions, entries, features, hidden, outputs)
        params = pack(table, hidden_weight, output_weight, resolutions)
        half_cells = torch.tensor([0.5 / r for r in resolutions], device=x.device)
        places = (x.float().clamp(0, 1)[:, None] - half_cells[:, None]).flatten(1)
        y: Tensor = torch.func.functional_call(network, {"params": params}, (places,))
    return y.to(torch.promote_types(x.dtype, table.dtype))


def pack(
    table: Tensor, hidden_weight: Tensor, output_weight: Tensor, resolutions: tuple[int, ...]
) -> Tensor:
    """Our parameters in tinycudann's order: both layers row by row, then the levels' entries."""
    entries = table.shape[1]
    inputs = hidden_weight.shape[1]
    hidden = pad(hidden_weight, (0, -inputs % ALIGNMENT))
    output = pad(output_weight, (0, 0, 0, -len(output_weight) % ALIGNMENT))
    levels = [
        level[: kept_entries(r, entries)] for level, r in zip(table, resolutions, strict=True)
    ]
    return torch.cat([part.float().flatten() for part in (hidden, output, *levels)])


def kept_entries(resolution: int, entries: int) -> int:
    """Returns the number of table entries of a level in tinycudann, a multiple of 8."""
    return min((resolution + 1) ** 3 + -((resolution + 1) ** 3) % 8, entries)


@cache
def _network(
    resolutions: tuple[int, ...], entries: int, features: int, hidden: int, outputs: int
) -> nn.Module:
    """Native code for one shape of field. Its own parameters are not used."""
    levels = [
        {
            "otype": "HashGrid",
            "n_dims_to_encode": 3,
            "n_levels": 1,
            "n_features_per_level": features,
            "log2_hashmap_size": entries.bit_length() - 1,
            "base_resolution": resolution + 1,  # vertices
            "per_level_scale": 1.0,
        }
        for resolution in resolutions
    ]
    mlp = {
        "otype": "FullyFusedMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": hidden,
        "n_hidden_layers": 1,
    }
    network: nn.Module = tinycudann.NetworkWithInputEncoding(
        3 * len(levels), outputs, {"otype": "Composite", "nested": levels}, mlp
    )
    return network.requires_grad_(False)
