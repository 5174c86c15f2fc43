"""Compile every Triton kernel for GPUs that are not here, and read what the machine code needs.

A type error, a construct that a GPU generation lacks, or registers that spill show without a GPU.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from xbind.kernels.augment import gpu as gpu_augment
from xbind.kernels.compositing import gpu as gpu_composite
from xbind.kernels.errors import KernelError
from xbind.kernels.group_norm import gpu as gpu_group_norm
from xbind.kernels.hash_grid import gpu as gpu_hash_encode
from xbind.kernels.ray_march import gpu as gpu_march
from xbind.kernels.surface import (
    gpu_antialias,
    gpu_interpolate,
    gpu_rasterize,
    gpu_silhouettes,
)

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""SM versions: Turing, Ampere (A100; GeForce 30), Ada, Hopper, Blackwell (B200; GeForce 50)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Kernel with the types and constants of its launch."""

    name: str
    kernel: triton.JITFunction
    constants: Mapping[str, int]
    """Compile-time constants."""
    types: Mapping[str, str] = field(default_factory=dict)
    """Types of the arguments whose names do not tell: `*_ptr` is *fp32, else i32."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Number of warps and the like, where they are not Triton's defaults."""
    half: tuple[str, ...] = ()
    """Arguments that may be stored in half precision."""

    def signature(self) -> dict[str, str]:
        """Argument → type, as Triton wants it."""
        return {
            name: "constexpr" if name in self.constants else self.types.get(name, _usual_type(name))
            for name in self.kernel.arg_names
        }


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources of a kernel on a GPU."""

    registers: int
    """Per thread, of 255 at most."""
    stack_bytes: int
    """Per thread; registers that did not fit are kept there."""
    shared_bytes: int
    """Per program."""
    threads: int
    """Per program."""


def variants() -> tuple[Variant, ...]:
    """Every kernel as it is launched on float32."""
    return (*_image_variants(), *_norm_variants(), *_volume_variants(), *_surface_variants())


def in_half(variant: Variant) -> tuple[Variant, ...]:
    """The kernel with float16 and with bfloat16 storage, if it may be given any."""
    return tuple(
        replace(
            variant,
            name=f"{variant.name}, {label}",
            types={**variant.types, **dict.fromkeys(variant.half, pointer)},
            half=(),
        )
        for label, pointer in (("float16", "*fp16"), ("bfloat16", "*bf16"))
        if variant.half
    )


def _image_variants() -> list[Variant]:
    block, parts = {"BLOCK": gpu_augment.BLOCK}, {"parts_ptr": "*i32"}
    forward, gradient = gpu_augment._fwd_kernel, gpu_augment._bwd_kernel
    return [
        Variant("ms_augment", forward, block, parts, half=("image_ptr", "out_ptr")),
        Variant("ms_augment, gradient", gradient, block, parts, half=("out_bar_ptr",)),
    ]


def _norm_variants() -> list[Variant]:
    """32 groups of 16 channels, as in the widest blocks of an autoencoder."""
    norm, eps = gpu_group_norm, {"eps": "fp32"}
    tile = norm.tile_sizes(groups=32, width=16)
    silu = tile | {"SILU": True}
    affine = ("x_ptr", "weight_ptr", "bias_ptr")
    merge = {"WIDTH": 16, "PARTS": norm.PARTS}
    bars, limit = (*affine, "out_bar_ptr", "x_bar_ptr"), norm.OPTIONS

    def whole(name: str, kernel: triton.JITFunction, half: tuple[str, ...]) -> Variant:
        constants = tile if kernel is norm._moments_kernel else silu
        return Variant(f"group_norm, {name}", kernel, constants, options=limit, half=half)

    return [
        whole("moments", norm._moments_kernel, ("x_ptr",)),
        Variant("group_norm, merge", norm._moments_merge_kernel, merge, eps),
        whole("apply", norm._apply_kernel, (*affine, "out_ptr")),
        whole("gradient sums", norm._bar_sums_kernel, bars[:-1]),
        Variant("group_norm, gradient merge", norm._bar_merge_kernel, {"PARTS": norm.PARTS}),
        whole("gradient", norm._bar_kernel, bars),
    ]


def _volume_variants() -> list[Variant]:
    table = {"ENTRIES": 2**15, "FEATURES": 2, "LANES": 2, "BLOCK": gpu_hash_encode.BLOCK}
    cells, offsets = {"resolution_ptr": "*i32"}, {"offset_ptr": "*i64"}
    ray, one_warp = {"BLOCK": gpu_composite.BLOCK}, {"num_warps": 1}
    light, light_bars = ("density_ptr", "colour_ptr"), ("density_bar_ptr", "colour_bar_ptr")
    rays, walk = {"BLOCK": gpu_march.BLOCK}, gpu_march.OPTIONS
    floats = {"radius": "fp32", "step": "fp32", "scale": "fp32", "occupancy_ptr": "*u8"}
    indices = dict.fromkeys(("count_ptr", "offset_ptr", "ray_ptr"), "*i64")
    encode, composite, march = gpu_hash_encode, gpu_composite, gpu_march
    return [
        Variant("hash_encode", encode._fwd_kernel, table, cells, half=("table_ptr",)),
        Variant("hash_encode, table gradient", encode._bwd_table_kernel, table, cells),
        Variant("hash_encode, x gradient", encode._bwd_x_kernel, table, cells, half=("table_ptr",)),
        Variant("composite", composite._fwd_kernel, ray, offsets, one_warp, half=light),
        Variant(
            "composite, gradient", composite._bwd_kernel, ray, offsets, one_warp,
            half=("colour_ptr", *light_bars),
        ),
        Variant("march, count", march._count_kernel, rays, floats | indices, walk),
        Variant("march, write", march._write_kernel, rays, floats | indices, walk),
    ]  # fmt: skip


def _surface_variants() -> list[Variant]:
    colours = {"CHANNELS": 3, "LANES": 4, "BLOCK": gpu_antialias.BLOCK}
    values = {"CHANNELS": 3, "LANES": 4, "BLOCK": gpu_interpolate.BLOCK}
    mesh = {"face_ptr": "*i64", "table_ptr": "*i64", "screen_ptr": "*fp64"}
    mesh |= {"up_ptr": "*i32", "down_ptr": "*i32"}
    stored, bars = ("image_ptr", "out_ptr"), ("out_bar_ptr", "image_bar_ptr")
    attributes, smooth = ("attribute_ptr",), gpu_antialias
    found = [
        Variant("interpolate", gpu_interpolate._fwd_kernel, values, mesh, half=attributes),
        Variant(
            "interpolate, gradient", gpu_interpolate._bwd_kernel, values, mesh, half=attributes
        ),
        Variant("antialias, blend", smooth._blend_kernel, colours, half=stored),
        Variant("antialias, image gradient", smooth._image_bar_kernel, colours, half=bars),
    ]
    found += _rasterize_variants()
    for axis, name in enumerate(("rows", "columns")):
        search = {"AXIS": axis, "BLOCK": smooth.BLOCK}
        found += [
            Variant(f"antialias, find in {name}", gpu_silhouettes.find_kernel, search, mesh),
            Variant(
                f"antialias, clip gradient, {name}", smooth._clip_bar_kernel,
                colours | {"AXIS": axis}, mesh, half=("image_ptr", "out_bar_ptr"),
            ),
        ]  # fmt: skip
    return found


def _rasterize_variants() -> list[Variant]:
    scatter = gpu_rasterize
    scattered = {"BLOCK": scatter.BLOCK, "LANE_PIXELS": scatter.LANE_PIXELS}
    types = dict.fromkeys(("face_ptr", "depth_ptr", "large_ptr"), "*i64")
    types |= dict.fromkeys(("nearest_ptr", "count_ptr"), "*i32")
    return [
        Variant(
            f"rasterize, {size} triangles, {what}", kernel,
            {"FIND_DEPTH": find_depth, **block}, types, scatter.OPTIONS,
        )
        for size, kernel, block in (
            ("small", scatter._small_kernel, scattered),
            ("large", scatter._large_kernel, {"TILE": scatter.TILE}),
        )
        for what, find_depth in (("depth", True), ("face", False))
    ]  # fmt: skip


def compile_for(variant: Variant, sm: int) -> Resources:
    """Compile for one GPU generation, to machine code.

    Raises:
        KernelError: kernels run in Triton's interpreter here, so there is nothing to compile.
    """
    if not isinstance(variant.kernel, triton.JITFunction):
        raise KernelError(
            "Kernels run in Triton's interpreter here, and are not compiled.\n"
            "Start this without TRITON_INTERPRET in the environment."
        )
    source = ASTSource(variant.kernel, variant.signature(), dict(variant.constants))
    target = GPUTarget("cuda", sm, 32)
    compiled = triton.compile(source, target=target, options=dict(variant.options))
    return _read_resources(compiled.asm["cubin"], compiled.metadata)


def _read_resources(cubin: bytes, metadata: Any) -> Resources:  # noqa: ANN401
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = (knobs.nvidia.cuobjdump.path, "--dump-resource-usage", Path(file.name))
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    registers, stack = (int(re.findall(rf"\b{key}:(\d+)", report)[-1]) for key in ("REG", "STACK"))
    return Resources(registers, stack, metadata.shared, 32 * metadata.num_warps)


def _usual_type(name: str) -> str:
    return "*fp32" if name.endswith("_ptr") else "i32"
