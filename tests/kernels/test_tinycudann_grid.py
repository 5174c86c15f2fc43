"""The tinycudann backend, with a stand-in that reads grids the way tinycudann documents it.

The stand-in works on the flat parameters, in float64, one vertex at a time; nothing is shared with
the packing that is tested.
"""

import importlib.machinery
import itertools
import math
import sys
import types

import pytest
import torch

from xbind.kernels import grid_mlp, hash_encode
from xbind.kernels.errors import KernelError

RESOLUTIONS = (3, 6, 9)
"""With 256 entries: 4³ = 64 and 7³ = 343 (hashed) and 10³ vertices; 3 levels of 2 pad to 16."""


class Network(torch.nn.Module):
    """NetworkWithInputEncoding for a composite of one-level hash grids and a fused MLP."""

    def __init__(self, n_input_dims, n_output_dims, encoding_config, network_config):
        super().__init__()
        assert encoding_config["otype"] == "Composite"
        assert network_config["otype"] == "FullyFusedMLP"
        assert network_config["n_hidden_layers"] == 1
        assert n_input_dims == sum(grid["n_dims_to_encode"] for grid in encoding_config["nested"])
        self.grids, self.outputs = encoding_config["nested"], n_output_dims
        self.width = network_config["n_neurons"]
        self.params = torch.nn.Parameter(torch.full((1,), torch.nan))

    def forward(self, x):
        inputs = sum(grid["n_features_per_level"] for grid in self.grids)
        inputs = 16 * math.ceil(inputs / 16)
        rest = self.params.double()
        first, padded = self.width * inputs, 16 * math.ceil(self.outputs / 16)
        hidden, rest = rest[:first].view(self.width, inputs), rest[first:]
        output, rest = rest[: padded * self.width].view(padded, -1), rest[padded * self.width :]
        encoded = torch.ones(len(x), inputs).double()  # some versions pad with 1, some with 0
        column = 0
        for k, grid in enumerate(self.grids):
            features = grid["n_features_per_level"]
            values, used = read_grid(rest, x[:, 3 * k : 3 * k + 3].double(), grid)
            encoded[:, column : column + features] = values
            column, rest = column + features, rest[used:]
        assert len(rest) == 0
        return (encoded @ hidden.T).relu().matmul(output.T)[:, : self.outputs].half()


def read_grid(params, x, grid):
    assert (grid["otype"], grid["n_levels"]) == ("HashGrid", 1)
    features, limit = grid["n_features_per_level"], 2 ** grid["log2_hashmap_size"]
    scale = grid["base_resolution"] - 1
    side = math.ceil(scale) + 1
    size = min(8 * math.ceil(side**3 / 8), limit)
    table = params[: size * features].view(size, features)
    place = x * scale + 0.5
    cell = place.floor()
    total = torch.zeros(len(x), features).double()
    for corner in itertools.product((0, 1), repeat=3):
        vertex = cell + torch.tensor(corner)
        weight = (1 - (place - vertex).abs()).prod(-1)
        i, j, k = (int_mod(v) for v in vertex.unbind(-1))
        if size < side**3:
            primes = (1, 2_654_435_761, 805_459_861)
            index = int_mod(i * primes[0]) ^ int_mod(j * primes[1]) ^ int_mod(k * primes[2])
        else:
            index = int_mod(i + side * j + side**2 * k)
        total = total + weight[:, None] * table[index % size]
    return total, size * features


def int_mod(x):
    """As an unsigned number of 32 bits."""
    return x.long() % 2**32


@pytest.fixture
def backend(monkeypatch):
    """The module under test, with the stand-in for tinycudann."""
    fake = types.ModuleType("tinycudann")
    fake.__spec__ = importlib.machinery.ModuleSpec("tinycudann", None)
    fake.NetworkWithInputEncoding = Network
    monkeypatch.setitem(sys.modules, "tinycudann", fake)
    monkeypatch.delitem(sys.modules, "xbind.kernels.vendor.tinycudann", raising=False)
    yield importlib.import_module("xbind.kernels.vendor.tinycudann")
    sys.modules.pop("xbind.kernels.vendor.tinycudann", None)


def field(rng, hidden=16, outputs=4):
    table = torch.randn(3, 256, 2, generator=rng)
    weights = torch.randn(hidden, 6, generator=rng), torch.randn(outputs, hidden, generator=rng)
    return [v.requires_grad_() for v in (table, *weights)]


def test_is_the_same_field(backend, rng):
    x = torch.cat([torch.rand(40, 3, generator=rng), torch.eye(3), torch.ones(1, 3)])
    x = torch.cat([x, torch.tensor([[-0.2, 0.5, 1.4]])]).requires_grad_()
    parameters = field(rng)
    bar = torch.randn(45, 4, generator=rng).half()
    want = grid_mlp(x, *parameters, RESOLUTIONS)
    want_bars = torch.autograd.grad(want, (x, *parameters), bar.float())
    got = backend.grid_mlp(x, *parameters, RESOLUTIONS)
    got_bars = torch.autograd.grad(got, (x, *parameters), bar.float())
    assert got.dtype == torch.float32
    step = torch.finfo(torch.float16).eps
    torch.testing.assert_close(got, want, rtol=step, atol=step)
    inside = ((x > 0) & (x < 1)).all(-1)  # on a vertex the one-sided slopes differ
    torch.testing.assert_close(got_bars[0][inside], want_bars[0][inside], rtol=1e-3, atol=1e-3)
    assert torch.equal(got_bars[0][-1] == 0, want_bars[0][-1] == 0)
    torch.testing.assert_close(got_bars[1:], want_bars[1:], rtol=1e-3, atol=2e-3)


def test_parameters_are_packed_layer_by_layer_then_level_by_level(backend, rng):
    table, hidden, output = (v.detach() for v in field(rng, outputs=17))
    params = backend.pack(table, hidden, output, RESOLUTIONS)
    rows = (16, 32, 64, 256, 256)  # 17 outputs stand in 32 rows; a dense level keeps its vertices
    columns = (16, 16, 2, 2, 2)
    parts = params.split([r * c for r, c in zip(rows, columns, strict=True)])
    first, last, *levels = (p.view(r, c) for p, r, c in zip(parts, rows, columns, strict=True))
    assert torch.equal(first[:, : hidden.shape[1]], hidden)
    assert not first[:, hidden.shape[1] :].any()
    assert torch.equal(last[:17], output)
    assert not last[17:].any()
    for level, kept in zip(table, levels, strict=True):
        assert torch.equal(kept, level[: len(kept)])


def test_a_dense_level_is_kept_in_eights(backend):
    assert [backend.kept_entries(r, 2**14) for r in (1, 2, 4, 24, 25)] == [8, 32, 128, 15632, 2**14]


def test_native_code_is_made_once_per_shape(backend, rng):
    x, parameters = torch.rand(2, 3, generator=rng), field(rng)
    made = [backend._network(RESOLUTIONS, 256, 2, 16, 4) for _ in range(2)]
    assert made[0] is made[1]
    assert not made[0].params.requires_grad
    backend.grid_mlp(x, *parameters, RESOLUTIONS)
    assert made[0].params.isnan().all()  # ours are passed in, its own are left alone


def test_refuses_widths_that_tinycudann_lacks(backend, rng):
    with pytest.raises(KernelError, match="found 24 and 2"):
        backend.grid_mlp(torch.rand(2, 3, generator=rng), *field(rng, hidden=24), RESOLUTIONS)


@pytest.mark.parametrize("impl", ["auto", "reference"])
def test_without_it_the_grid_and_torch_do_the_same(impl, rng):
    x, (table, hidden, output) = torch.rand(9, 3, generator=rng), field(rng)
    want = hash_encode(x, table, RESOLUTIONS, impl=impl) @ hidden.T
    want = want.clamp_min(0) @ output.T
    assert torch.equal(grid_mlp(x, table, hidden, output, RESOLUTIONS, impl=impl), want)


def test_asking_for_what_is_not_there(rng, monkeypatch):
    x, parameters = torch.rand(9, 3, generator=rng), field(rng)
    with pytest.raises(KernelError, match=r"(?s)not installed.*pip install .*tiny-cuda-nn"):
        grid_mlp(x, *parameters, RESOLUTIONS, impl="tinycudann")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(KernelError, match="works on CUDA only, found tensors on cpu"):
        grid_mlp(x, *parameters, RESOLUTIONS, impl="tinycudann")
