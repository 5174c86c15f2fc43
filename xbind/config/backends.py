"""Records of the engine backends. Imports no torch.

A backend is its record here, its file in `engine/` and what builds its artefact in `export/`.
Nothing else lists backends: flags, messages, choices, estimates and fingerprints read the records.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildCost:
    """Approximate cost of building an engine; measured on the mini bundle unless noted."""

    seconds: float
    """Seconds for a graph of the mini bundle on one core, process start included."""
    seconds_per_gb: float
    """Seconds per GB of weights: estimates from single networks of up to 870 M parameters."""
    disk: float
    """Bytes of the engine over bytes of its weights: gradients need the kernels of convolutions
    turned as well."""
    disk_fixed: int
    """Bytes of every engine, beside its weights."""
    memory: float
    """Peak of the build over bytes of the weights in float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendRecord:
    """Everything that is known about a backend outside of its own files."""

    name: str
    """Name in `--engine` and in fingerprints of engines."""
    title: str
    """Its name in messages."""
    device: Literal["cpu", "cuda"]
    """Device of its engines."""
    runtime: str
    """Module and class of its `xbind.engine.backend.Runtime`, with a colon between them."""
    builder: str
    """Module and name of its `xbind.export.build_settings.EngineBuilder`, likewise."""
    cost: BuildCost
    """Cost of building an engine."""
    targets: tuple[str, ...] = ()
    """GPU architectures that it can build for where they are not; what `--target` takes."""
    form: Literal["onnx", "fx"] = "onnx"
    """Form in which a recorded graph is given to its builder: ONNX, or torch's fx."""
    is_automatic: bool = True
    """Whether `--engine auto` takes it; others are taken by name."""
    has_own_threads: bool = True
    """False if it computes with torch's threads, so that two engines cannot run side by side."""
    leads_side_by_side: bool = False
    """True if `--engine auto` prefers it where guidance steps run side by side."""
    rounds_itself: bool = False
    """True if it takes float32 graphs and chooses each operation's precision itself."""
    spread_scalars: bool = False
    """See `xbind.export.builder.Dialect`."""
    channel_norms: bool = False
    """See `xbind.export.builder.Dialect`; for graphs in float32."""


_RECORDS = (
    BackendRecord(
        name="openvino",
        title="OpenVINO",
        device="cpu",
        runtime="xbind.engine.ov:OvRuntime",
        builder="xbind.export.ov_builder:build_engine",
        cost=BuildCost(seconds=10.0, seconds_per_gb=60.0, disk=2.2, disk_fixed=2**20, memory=5.0),
        rounds_itself=True,
        channel_norms=True,
    ),
    BackendRecord(
        name="onnxruntime",
        title="ONNX Runtime",
        device="cpu",
        runtime="xbind.engine.ort:OrtRuntime",
        builder="xbind.export.ort_builder:build_engine",
        cost=BuildCost(seconds=4.0, seconds_per_gb=30.0, disk=1.1, disk_fixed=2**18, memory=4.0),
        leads_side_by_side=True,  # 15 to 25 % less time per iteration than OpenVINO (xbind-bench)
    ),
    BackendRecord(
        name="inductor-cpu",
        title="torch Inductor",
        device="cpu",
        runtime="xbind.engine.inductor:InductorRuntime",
        builder="xbind.export.inductor_builder:build_engine",
        cost=BuildCost(seconds=60.0, seconds_per_gb=120.0, disk=1.1, disk_fixed=2**21, memory=5.0),
        form="fx",
        is_automatic=False,  # slower than the two above, and builds take ten times as long
        has_own_threads=False,
    ),
    BackendRecord(
        name="tensorrt",
        title="TensorRT",
        device="cuda",
        runtime="xbind.engine.trt:TrtRuntime",
        builder="xbind.export.trt_builder:build_engine",
        cost=BuildCost(  # never built by this project: guesses
            seconds=60.0, seconds_per_gb=300.0, disk=1.6, disk_fixed=6 * 2**20, memory=6.0
        ),
        spread_scalars=True,
    ),
    BackendRecord(
        name="tensorrt-rtx",
        title="TensorRT-RTX",
        device="cuda",
        runtime="xbind.engine.trt:TrtRuntime",
        builder="xbind.export.trt_builder:build_engine",
        cost=BuildCost(
            seconds=15.0, seconds_per_gb=30.0, disk=1.6, disk_fixed=6 * 2**20, memory=5.0
        ),
        # 1.7.1 has no sm90 (H100, H200) and no sm100 (B200).
        targets=("sm75", "sm80", "sm86", "sm89", "sm120", "sm121"),
        spread_scalars=True,
    ),
    BackendRecord(
        name="onnxruntime-gpu",
        title="ONNX Runtime for CUDA",
        device="cuda",
        runtime="xbind.engine.ort_gpu:OrtGpuRuntime",
        builder="xbind.export.ort_builder:build_engine",
        cost=BuildCost(  # never built by this project for a GPU: as on a CPU
            seconds=6.0, seconds_per_gb=30.0, disk=1.1, disk_fixed=2**18, memory=4.0
        ),
    ),
    BackendRecord(
        name="inductor",
        title="torch Inductor",
        device="cuda",
        runtime="xbind.engine.inductor:InductorRuntime",
        builder="xbind.export.inductor_builder:build_engine",
        cost=BuildCost(  # never built by this project: guesses
            seconds=180.0, seconds_per_gb=300.0, disk=1.1, disk_fixed=2**23, memory=5.0
        ),
        form="fx",
        is_automatic=False,  # always there, but not measured, as CUDA graphs are
    ),
)

BACKENDS = {record.name: record for record in _RECORDS}
"""Name → record; of one device, the backend that is preferred comes first (docs/engines.md)."""
BackendName = str
"""A key of `BACKENDS`."""


def backends_for(device: str) -> list[BackendRecord]:
    """The backends of a device (`cpu` or `cuda`), the preferred one first."""
    return [record for record in BACKENDS.values() if record.device == device]


def automatic_for(device: str, threads: int = 1) -> list[BackendRecord]:
    """The backends of a device that `auto` may take, the preferred one first.

    Args:
        device: `cpu` or `cuda`.
        threads: that compute; with two or more, guidance steps run side by side.
    """
    found = [record for record in backends_for(device) if record.is_automatic]
    return sorted(found, key=lambda record: threads > 1 and not record.leads_side_by_side)


def cross_builders() -> list[BackendRecord]:
    """The backends that build for GPUs that are not there."""
    return [record for record in BACKENDS.values() if record.targets]
