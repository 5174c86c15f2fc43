"""The volume operators: hash grid (and its MLP), ray march, compositing.

Each has a definition in plain PyTorch (`reference_*`), a numba form for the CPU (`cpu_*`), which is
compiled at its first use and kept on disk, and a Triton form for CUDA (`gpu_*`). `impl="auto"`
chooses by device, see `choice.choose`; any other value never falls back.
"""

import importlib.util
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import relu

from xbind.kernels.common.choice import Impl, check, choose, say
from xbind.kernels.common.samples import Composited, RaySamples
from xbind.kernels.compositing import reference as reference_composite
from xbind.kernels.errors import KernelError
from xbind.kernels.hash_grid import reference as reference_hash_encode
from xbind.kernels.ray_march import reference as reference_march

FINEST = 2**20
"""Most cells along a side of a grid level; float32 has 2²⁴ places between 0 and 1."""


def hash_encode(
    x: Float[Tensor, "n 3"],
    table: Float[Tensor, "levels entries features"],
    resolutions: tuple[int, ...],
    *,
    impl: Impl = "auto",
) -> Float[Tensor, "n levels*features"]:
    """Interpolate learned features at `x` in [0, 1]³: see `hash_grid.reference.hash_encode`.

    Raises:
        KernelError: the shapes do not fit, or `impl` cannot run there.
    """
    check(
        x.shape[1:] == (3,) and table.ndim == 3,
        "x as [n, 3] and table as [levels, entries, features]",
        f"{list(x.shape)} and {list(table.shape)}",
    )
    levels, entries, _ = table.shape
    check(
        len(resolutions) == levels and all(1 <= r <= FINEST for r in resolutions),
        f"one resolution of 1 to {FINEST} for each of the {levels} levels",
        str(resolutions),
    )
    check(entries.bit_count() == 1, "a power of two of entries per level", str(entries))
    match choose("hash_encode", impl, x, table):
        case "numba":
            from xbind.kernels.hash_grid import cpu as cpu_hash_encode

            return cpu_hash_encode.hash_encode(x, table, tuple(resolutions))
        case "triton":
            from xbind.kernels.hash_grid import gpu as gpu_hash_encode

            return gpu_hash_encode.hash_encode(x, table, tuple(resolutions))
    return reference_hash_encode.hash_encode(x, table, tuple(resolutions))


def grid_mlp(
    x: Float[Tensor, "n 3"],
    table: Float[Tensor, "levels entries features"],
    hidden_weight: Float[Tensor, "hidden levels*features"],
    output_weight: Float[Tensor, "outputs hidden"],
    resolutions: tuple[int, ...],
    *,
    impl: Impl | Literal["tinycudann"] = "auto",
) -> Float[Tensor, "n outputs"]:
    """A hash grid read by an MLP of one hidden layer, without biases.

    y = W_output relu(W_hidden hash_encode(x))

    Args:
        x: positions in [0, 1]³.
        table: of `hash_encode`.
        hidden_weight: W_hidden.
        output_weight: W_output.
        resolutions: of `hash_encode`.
        impl: form of the grid; the MLP is torch's. `tinycudann`, and on CUDA `auto` where it is
            installed, does both in one launch, in half precision.

    Returns:
        The MLP's outputs, differentiable in all tensors.

    Raises:
        KernelError: as in `hash_encode`, or tinycudann cannot run there.
    """
    on_cuda = x.is_cuda and table.is_cuda
    # looked up only where it matters: on the CPU this is called thousands of times
    is_wanted = impl == "tinycudann" or (impl == "auto" and on_cuda)
    is_installed = is_wanted and importlib.util.find_spec("tinycudann") is not None
    if impl == "tinycudann" and not (on_cuda and is_installed):
        raise KernelError(
            f"tinycudann {'works on CUDA only' if is_installed else 'is not installed'}, found "
            f"tensors on {x.device} and {table.device}.\n"
            "Install it with:  pip install --no-build-isolation "
            "git+https://github.com/NVlabs/tiny-cuda-nn.git#subdirectory=bindings/torch\n"
            "or pass impl='auto'."
        )
    if is_installed and len(x) > 0:  # it refuses an empty batch
        from xbind.kernels.vendor import tinycudann as tinycudann_grid

        say("grid_mlp runs as tinycudann on cuda, in half precision")
        return tinycudann_grid.grid_mlp(x, table, hidden_weight, output_weight, resolutions)
    encoded = hash_encode(x, table, resolutions, impl="auto" if impl == "tinycudann" else impl)
    return relu(encoded @ hidden_weight.T) @ output_weight.T


def march(
    origins: Float[Tensor, "r 3"],
    directions: Float[Tensor, "r 3"],
    occupancy: Bool[Tensor, "g g g"] | None,
    *,
    radius: float,
    step: float,
    jitter: Float[Tensor, " r"],
    impl: Impl = "auto",
) -> RaySamples:
    """Sample rays where the ball of `radius` is occupied: see `ray_march.reference.march`.

    Raises:
        KernelError: the shapes or lengths do not fit, or `impl` cannot run there.
    """
    rays = len(origins)
    check(
        origins.shape == directions.shape == (rays, 3) and jitter.shape == (rays,),
        "origins and directions as [r, 3] and jitter as [r]",
        f"{list(origins.shape)}, {list(directions.shape)} and {list(jitter.shape)}",
    )
    if occupancy is not None:
        check(
            occupancy.dtype == torch.bool and occupancy.shape == (len(occupancy),) * 3,
            "occupancy as a bool cube [g, g, g]",
            f"{occupancy.dtype} {list(occupancy.shape)}",
        )
    check(step > 0 and radius > 0, "a positive step and radius", f"{step} and {radius}")
    walk = reference_march.march
    match choose("march", impl, origins, directions, jitter):
        case "numba":
            from xbind.kernels.ray_march import cpu as cpu_march

            walk = cpu_march.march
        case "triton":
            from xbind.kernels.ray_march import gpu as gpu_march

            walk = gpu_march.march
    return walk(origins, directions, occupancy, radius=radius, step=step, jitter=jitter)


def composite(
    density: Float[Tensor, " n"],
    colour: Float[Tensor, "n 3"],
    samples: RaySamples,
    *,
    impl: Impl = "auto",
) -> Composited:
    """Blend the samples along each ray: see `compositing.reference.composite`.

    Raises:
        KernelError: the shapes do not fit, or `impl` cannot run there.
    """
    n = len(samples.t)
    check(
        density.shape == (n,) and colour.shape == (n, 3),
        f"density as [{n}] and colour as [{n}, 3], one row per sample",
        f"{list(density.shape)} and {list(colour.shape)}",
    )
    if samples.offsets.device.type == "cpu":  # elsewhere, looking would stop the device
        ends = samples.offsets[:1].tolist() + samples.offsets[-1:].tolist()
        rises = bool((samples.offsets.diff() >= 0).all())
        check(
            ends == [0, n] and rises, f"offsets that rise from 0 to {n}", f"{ends[0]} to {ends[-1]}"
        )
    match choose("composite", impl, density, colour, samples.t, samples.dt):
        case "numba":
            from xbind.kernels.compositing import cpu as cpu_composite

            return cpu_composite.composite(density, colour, samples)
        case "triton":
            from xbind.kernels.compositing import gpu as gpu_composite

            return gpu_composite.composite(density, colour, samples)
    return reference_composite.composite(density, colour, samples)
