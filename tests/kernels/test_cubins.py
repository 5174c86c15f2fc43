"""Every Triton kernel compiles for the oldest GPU generation; `make verify-kernels`: for all.

Types, constructs and spills show in machine code; values are checked in `gpu/`.
"""

import importlib
from pathlib import Path

import pytest

pytest.importorskip("triton")

from xbind.bench import gpu_cubins
from xbind.kernels.common.gpu import is_interpreted
from xbind.kernels.errors import KernelError

compiled = pytest.mark.skipif(is_interpreted(), reason="in the interpreter nothing is compiled")
KERNELS = Path(__file__).parents[2] / "kernels"
MODULES = sorted(
    ".".join(path.relative_to(KERNELS).with_suffix("").parts) for path in KERNELS.glob("*/gpu*.py")
)


@compiled
@pytest.mark.parametrize("variant", gpu_cubins.variants(), ids=lambda variant: variant.name)
def test_compiles_and_fits(variant):
    used = gpu_cubins.compile_for(variant, gpu_cubins.ARCHITECTURES[0])
    assert used.stack_bytes == 0
    assert 16 <= used.registers <= 128
    assert used.registers * used.threads <= 16 * 1024  # four programs at once, at the least
    assert used.shared_bytes <= 4096


@compiled
def test_half_storage_compiles():
    halves = gpu_cubins.in_half(gpu_cubins.variants()[0])
    assert [half.types["image_ptr"] for half in halves] == ["*fp16", "*bf16"]
    assert all(gpu_cubins.compile_for(half, 75).stack_bytes == 0 for half in halves)


def test_no_kernel_is_forgotten():
    assert len(MODULES) > 8
    listed = {variant.kernel.fn.__name__ for variant in gpu_cubins.variants()}
    defined = set()
    for name in MODULES:
        module = importlib.import_module(f"xbind.kernels.{name}")
        defined |= {
            x for x in vars(module) if x.endswith("kernel") and hasattr(vars(module)[x], "fn")
        }
    assert listed == defined


def test_every_argument_has_a_type():
    for variant in gpu_cubins.variants():
        signature = variant.signature()
        assert set(signature) == set(variant.kernel.arg_names)
        constants = {name for name, kind in signature.items() if kind == "constexpr"}
        assert constants == {name for name in signature if name.isupper()} == set(variant.constants)


def test_the_interpreter_is_no_compiler():
    """What is no JITFunction, as nothing is under TRITON_INTERPRET=1."""
    plain = gpu_cubins.Variant("plain", lambda x: x, {})
    with pytest.raises(KernelError, match="without TRITON_INTERPRET"):
        gpu_cubins.compile_for(plain, 90)
