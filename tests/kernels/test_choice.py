"""Which form runs where, and that it is said once."""

import importlib.util
import logging
from types import SimpleNamespace

import pytest
import torch

from xbind.kernels import hash_encode
from xbind.kernels.common import choice
from xbind.kernels.common.choice import choose
from xbind.kernels.errors import KernelError
from xbind.kernels.surface import operator as surface


def tensor(device, dtype=torch.float32):
    """As much of a tensor as a choice looks at; there need not be such a device."""
    device = torch.device(device)
    return SimpleNamespace(device=device, dtype=dtype, is_cuda=device.type == "cuda")


@pytest.fixture(autouse=True)
def nothing_was_said():
    choice.say.cache_clear()


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Outside of Triton's interpreter, with triton installed."""
    pytest.importorskip("triton")
    from xbind.kernels.common import gpu

    monkeypatch.setattr(gpu, "is_interpreted", lambda: False)


@pytest.mark.parametrize(
    ("device", "form"), [("cpu", "numba"), ("cuda", "triton"), ("mps", "reference")]
)
def test_auto_goes_by_device(device, form, on_a_gpu):
    assert choose("op", "auto", tensor(device), tensor(device)) == form


def test_what_is_chosen_is_said_once(caplog):
    x, table = torch.rand(2, 3), torch.rand(1, 8, 2)
    with caplog.at_level(logging.INFO, logger="xbind.kernels"):
        for _ in range(3):
            hash_encode(x, table, (1,))
        hash_encode(x, table, (1,), impl="reference")
    assert [record.getMessage() for record in caplog.records] == [
        "hash_encode runs as numba on cpu",
        "hash_encode runs as reference on cpu",
    ]


def test_a_named_implementation_runs_or_is_refused(on_a_gpu):
    assert choose("op", "reference", tensor("cuda")) == "reference"
    with pytest.raises(KernelError, match=r"float32 on the CPU, found torch\.float32 on cuda"):
        choose("op", "numba", tensor("cuda"))
    with pytest.raises(KernelError, match=r"bfloat16 on CUDA, found torch\.float32 on cpu"):
        choose("op", "triton", tensor("cpu"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_triton_takes_half_storage(dtype, on_a_gpu):
    assert choose("op", "auto", tensor("cuda", dtype)) == "triton"


def test_nothing_falls_back_in_silence(on_a_gpu, monkeypatch):
    with pytest.raises(KernelError, match="impl='reference'"):
        choose("op", "auto", tensor("cuda", torch.float64))
    with pytest.raises(KernelError, match="impl='reference'"):
        choose("op", "auto", tensor("cpu", torch.float64))
    assert choose("op", "auto", tensor("cpu"), tensor("cuda")) == "reference"  # torch will refuse
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(KernelError, match="op runs on CUDA as a Triton kernel, but triton is not"):
        choose("op", "auto", tensor("cuda"))


@pytest.mark.parametrize("is_installed", [True, False])
def test_nvdiffrast_comes_first_on_cuda(is_installed, on_a_gpu, monkeypatch, caplog):
    find_spec = importlib.util.find_spec
    found = object() if is_installed else None
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "nvdiffrast" else find_spec(name)
    )
    want = "nvdiffrast" if is_installed else "triton"
    with caplog.at_level(logging.INFO, logger="xbind.kernels"):
        assert surface._choose("rasterize", "auto", tensor("cuda")) == want
    assert caplog.messages == [f"rasterize runs as {want} on cuda"]
    assert surface._choose("rasterize", "auto", tensor("cpu")) == "numba"
    if is_installed:
        with pytest.raises(KernelError, match="nvdiffrast works on CUDA only, found cpu"):
            surface._choose("rasterize", "nvdiffrast", tensor("cpu"))
