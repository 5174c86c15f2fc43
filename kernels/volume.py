"""The volume operators: hash grid, ray march, compositing.

Each has a definition in plain PyTorch (`reference_*`) and a numba implementation for the CPU
(`cpu_*`), which is compiled at its first use and kept on disk. `impl="auto"` is numba on the CPU
and the definition elsewhere; any other value is an obligation.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from xbind.kernels import reference_composite, reference_hash_encode, reference_march
from xbind.kernels.errors import KernelError
from xbind.kernels.samples import Composited, RaySamples

Impl = Literal["auto", "reference", "numba"]


def hash_encode(
    x: Float[Tensor, "n 3"],
    table: Float[Tensor, "levels entries features"],
    resolutions: tuple[int, ...],
    *,
    impl: Impl = "auto",
) -> Float[Tensor, "n levels*features"]:
    """Interpolate learned features at `x` in [0, 1]³: see `reference_hash_encode.hash_encode`.

    Raises:
        KernelError: the shapes do not fit, or `impl` cannot run there.
    """
    _check(
        x.shape[1:] == (3,) and table.ndim == 3,
        "x as [n, 3] and table as [levels, entries, features]",
        f"{list(x.shape)} and {list(table.shape)}",
    )
    levels, entries, _ = table.shape
    _check(
        len(resolutions) == levels and min(resolutions, default=1) > 0,
        f"one resolution of at least 1 for each of the {levels} levels",
        str(resolutions),
    )
    _check(entries.bit_count() == 1, "a power of two of entries per level", str(entries))
    if _on_numba(impl, x, table):
        from xbind.kernels import cpu_hash_encode  # numba is imported on first use only

        return cpu_hash_encode.hash_encode(x, table, tuple(resolutions))
    return reference_hash_encode.hash_encode(x, table, tuple(resolutions))


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
    """Sample rays where the ball of `radius` is occupied: see `reference_march.march`.

    Raises:
        KernelError: the shapes or lengths do not fit, or `impl` cannot run there.
    """
    rays = len(origins)
    _check(
        origins.shape == directions.shape == (rays, 3) and jitter.shape == (rays,),
        "origins and directions as [r, 3] and jitter as [r]",
        f"{list(origins.shape)}, {list(directions.shape)} and {list(jitter.shape)}",
    )
    if occupancy is not None:
        _check(
            occupancy.dtype == torch.bool and occupancy.shape == (len(occupancy),) * 3,
            "occupancy as a bool cube [g, g, g]",
            f"{occupancy.dtype} {list(occupancy.shape)}",
        )
    _check(step > 0 and radius > 0, "a positive step and radius", f"{step} and {radius}")
    walk = reference_march.march
    if _on_numba(impl, origins, directions, jitter):
        from xbind.kernels import cpu_march  # numba is imported on first use only

        walk = cpu_march.march
    return walk(origins, directions, occupancy, radius=radius, step=step, jitter=jitter)


def composite(
    density: Float[Tensor, " n"],
    colour: Float[Tensor, "n 3"],
    samples: RaySamples,
    *,
    impl: Impl = "auto",
) -> Composited:
    """Blend the samples along each ray: see `reference_composite.composite`.

    Raises:
        KernelError: the shapes do not fit, or `impl` cannot run there.
    """
    n = len(samples.t)
    _check(
        density.shape == (n,) and colour.shape == (n, 3),
        f"density as [{n}] and colour as [{n}, 3], one row per sample",
        f"{list(density.shape)} and {list(colour.shape)}",
    )
    if _on_numba(impl, density, colour, samples.t, samples.dt):
        from xbind.kernels import cpu_composite  # numba is imported on first use only

        return cpu_composite.composite(density, colour, samples)
    return reference_composite.composite(density, colour, samples)


def _check(holds: bool, wanted: str, found: str) -> None:
    if not holds:
        raise KernelError(f"Wanted {wanted}, found {found}.")


def _on_numba(impl: Impl, *tensors: Tensor) -> bool:
    """Whether numba shall run on `tensors`; an error when it was asked for and cannot."""
    on_cpu = all(x.device.type == "cpu" for x in tensors)
    if impl == "reference" or (impl == "auto" and not on_cpu):
        return False
    if not (on_cpu and all(x.dtype == torch.float32 for x in tensors)):
        found = ", ".join(f"{x.dtype} on {x.device}" for x in tensors)
        raise KernelError(
            f"The numba kernels want float32 on the CPU, found {found}.\n"
            f"Convert the inputs, or pass impl='reference'."
        )
    return True
