"""What the makers of GPUs publish about them."""

from dataclasses import dataclass

from xbind.bench.contestants import BenchError


@dataclass(frozen=True, slots=True)
class Gpu:
    """Peaks of one card."""

    name: str
    half_flops: float
    """Dense float16 matrix arithmetic per second, summed in float32, without sparsity."""
    bytes_per_second: float
    """Of its memory."""
    memory_bytes: float
    source: str


GPUS = {
    "rtx3090": Gpu("GeForce RTX 3090", 71e12, 936e9, 24 * 2**30, "NVIDIA Ampere GA102 whitepaper"),
    "rtx4090": Gpu(
        "GeForce RTX 4090", 165.2e12, 1008e9, 24 * 2**30, "NVIDIA Ada GPU architecture whitepaper"
    ),
    "a100": Gpu("A100 SXM 80 GB", 312e12, 2039e9, 80 * 2**30, "NVIDIA A100 datasheet"),
    "h100": Gpu("H100 SXM", 989.4e12, 3350e9, 80 * 2**30, "NVIDIA H100 whitepaper"),
}
"""Name that `--project` takes → the card."""


def gpu_named(name: str) -> Gpu:
    """The card of that name.

    Raises:
        BenchError: there is none; the message lists them.
    """
    if name.lower() not in GPUS:
        raise BenchError(
            f"There is no card {name!r} to project to.\nChoose with --project: {', '.join(GPUS)}."
        )
    return GPUS[name.lower()]
