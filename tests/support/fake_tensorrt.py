"""TensorRT's API as far as a backend and a builder use it, which insists on how it is called.

Memory is real: addresses are read and written. Work is queued on a stream and done when somebody
waits for the stream, so a backend that returns or frees too early returns rubbish or fails.
"""

import ctypes
import enum
import weakref
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import torch

DTYPES = {"FLOAT": torch.float32, "INT64": torch.int64}


class DataType(enum.Enum):
    FLOAT = 0
    INT64 = 1

    def __str__(self):
        return f"DataType.{self.name}"


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class TensorLocation(enum.Enum):
    DEVICE = 0
    HOST = 1


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class BuilderFlag(enum.Enum):
    TF32 = 0
    REQUIRE_USER_ALLOCATION = 1


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class ComputeCapability(enum.Enum):
    """As TensorRT-RTX 1.7.1 has it: neither 9.0 nor 10.0."""

    NONE = 0
    CURRENT = 1
    SM75 = 75
    SM80 = 80
    SM86 = 86
    SM89 = 89
    SM120 = 120
    SM121 = 121


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1

    def __init__(self):
        self.is_initialised = True


class Runtime:
    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        assert logger.is_initialised
        assert ACTIVE == [True], "made while another device is the current one"
        if DRIVER_TOO_OLD:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        """None for what was built for another version or GPU, as TensorRT has it."""
        if plan.startswith(b"plan"):
            return Engine(rtx=plan.endswith(b"rtx"))
        self.logger.log(ILogger.Severity.ERROR, "magic tag does not match")
        return None


ACTIVE = []
"""[True] while the device of the engine is the current one."""
DRIVER_TOO_OLD = []
"""Not empty: TensorRT's objects cannot be made."""


class Engine:
    """y = 2 x + t."""

    TENSORS: ClassVar = {
        "x": (TensorIOMode.INPUT, DataType.FLOAT, (2, 3)),
        "t": (TensorIOMode.INPUT, DataType.INT64, ()),
        "y": (TensorIOMode.OUTPUT, DataType.FLOAT, (2, 3)),
    }
    size = 1000
    on_host: ClassVar = set()
    """Tensors that the engine wants in the CPU's memory."""
    no_context = False

    def __init__(self, *, rtx):
        self.rtx = rtx
        self.device_memory_size_v2 = Engine.size
        self.num_io_tensors = len(self.TENSORS)

    def get_tensor_name(self, index):
        return list(self.TENSORS)[index]

    def get_tensor_mode(self, name):
        return self.TENSORS[name][0]

    def get_tensor_dtype(self, name):
        return self.TENSORS[name][1]

    def get_tensor_shape(self, name):
        return self.TENSORS[name][2]

    def get_tensor_location(self, name):
        return TensorLocation.HOST if name in Engine.on_host else TensorLocation.DEVICE

    def create_runtime_config(self):
        assert self.rtx, "only TensorRT-RTX has runtime configurations"
        return RuntimeConfig()

    def create_execution_context(self, how):
        if self.rtx:
            assert isinstance(how, RuntimeConfig)
            assert how.cuda_graph_strategy is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            how.frozen = True
            how = how.strategy
        assert how is ExecutionContextAllocationStrategy.USER_MANAGED
        return None if Engine.no_context else Context(self)


class RuntimeConfig:
    def __init__(self):
        self.frozen, self.strategy, self.cache = False, None, None
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED

    def set_execution_context_allocation_strategy(self, strategy):
        assert not self.frozen, "set after the context was made"
        self.strategy = strategy

    def create_runtime_cache(self):
        return RuntimeCache()

    def set_runtime_cache(self, cache):
        assert not self.frozen, "set after the context was made"
        self.cache = cache


class RuntimeCache:
    loaded: ClassVar = []

    def deserialize(self, blob):
        """False for what another card or driver has written, as TensorRT-RTX has it."""
        RuntimeCache.loaded.append(blob)
        return blob == b"kernels"

    def serialize(self):
        return b"kernels"


class Context:
    made: ClassVar = []
    """Weak references to all contexts; unloading one with work in its stream is an error."""
    fails: ClassVar = []
    """Not empty: what the next launch raises."""

    def __init__(self, engine):
        self.engine, self.addresses, self.memory = engine, {}, None
        self.recorded, self.recordings, self.asked = None, 0, []
        Context.made.append(weakref.ref(self))

    def set_device_memory(self, address, size):
        assert size >= self.engine.device_memory_size_v2, (
            "less scratch memory than the engine needs"
        )
        assert address % 64 == 0
        self.memory = address

    def set_tensor_address(self, name, address):
        if name not in self.engine.TENSORS:
            return False
        self.addresses[name] = address
        return True

    def is_stream_capturable(self, stream):
        assert self.engine.rtx, "only TensorRT-RTX answers this"
        self.asked.append(stream)
        return True

    def execute_async_v3(self, stream):
        assert ACTIVE == [True], "launched while another device is the current one"
        assert stream != DEFAULT_STREAM, "a CUDA graph cannot be recorded on the default stream"
        assert self.memory is not None, "no scratch memory was given"
        assert self.addresses.keys() == self.engine.TENSORS.keys(), "not every tensor is bound"
        if Context.fails:
            raise Context.fails.pop()
        addresses = dict(self.addresses)
        if self.recorded != (addresses, self.memory):  # as a CUDA graph is recorded again
            self.recorded, self.recordings = (addresses, self.memory), self.recordings + 1
        QUEUES[stream].append(lambda: self._compute(addresses))
        return True

    def _compute(self, addresses):
        x, t, y = (self._at(addresses[name], name) for name in ("x", "t", "y"))
        y.copy_(2 * x + t)

    def _at(self, address, name):
        _, dtype, shape = self.engine.TENSORS[name]
        dtype = DTYPES[dtype.name]
        count = torch.Size(shape).numel()
        buffer = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
        return torch.frombuffer(buffer, dtype=dtype).reshape(shape)

    def __del__(self):
        assert not any(QUEUES.values()), "unloaded while it was running"


def contexts():
    """Those that are loaded, in the order in which they were made."""
    return [context for made in Context.made if (context := made()) is not None]


DEFAULT_STREAM, SIDE_STREAM = 0, 7
QUEUES = {SIDE_STREAM: []}
"""Stream handle → what was launched and nobody has waited for."""


class FakeDevice:
    """A device whose memory is the CPU's and whose one stream is done when it is joined."""

    def __init__(self):
        self.device = torch.device("cpu")
        self.joined, self.waited, self.synchronized = [], [], 0

    @contextmanager
    def active(self):
        ACTIVE.append(True)
        try:
            yield
        finally:
            ACTIVE.pop()

    def launch_stream(self):
        return SimpleNamespace(cuda_stream=SIDE_STREAM)

    def join(self, stream, tensors):
        self._finish(stream.cuda_stream)
        self.joined.append(len(tensors))

    def mark(self):
        return object()

    def wait(self, mark):
        self.waited.append(mark)

    def synchronize(self):
        self.synchronized += 1
        for stream in QUEUES:
            self._finish(stream)

    def _finish(self, stream):
        for work in QUEUES[stream]:
            work()
        QUEUES[stream].clear()


class Builder:
    plan = b"plan"
    """What is built; None for a graph that cannot be."""
    says = ""
    """What the builder logs as an error."""
    built: ClassVar = []
    """The configuration of every build."""

    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        assert logger.is_initialised
        if DRIVER_TOO_OLD:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return SimpleNamespace()

    def create_builder_config(self):
        return BuilderConfig()

    def build_serialized_network(self, network, config):
        assert BuilderFlag.TF32 not in config.flags, "float32 products with 10 bits"
        is_rtx = bool(config.capabilities)
        assert (BuilderFlag.REQUIRE_USER_ALLOCATION in config.flags) == is_rtx
        assert config.cache is None or not is_rtx, "TensorRT-RTX asks for a GPU with a timing cache"
        assert all(config.capabilities), "an architecture is not set"
        if config.cache is not None:
            config.cache.times = (config.cache.times or TIMES) + b"+measured"
        if Builder.says:
            self.logger.log(ILogger.Severity.ERROR, Builder.says)
        Builder.built.append(config)
        return Builder.plan


class BuilderConfig:
    def __init__(self):
        self.flags = {BuilderFlag.TF32}  # on by default, in TensorRT too
        self.capabilities, self.cache = [], None

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def set_flag(self, flag):
        self.flags.add(flag)

    @property
    def num_compute_capabilities(self):
        return len(self.capabilities)

    @num_compute_capabilities.setter
    def num_compute_capabilities(self, count):
        self.capabilities = [None] * count

    def set_compute_capability(self, capability, index):
        assert isinstance(capability, ComputeCapability)
        self.capabilities[index] = capability
        return True

    def create_timing_cache(self, blob):
        return TimingCache(blob)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch, "times of another card"
        if cache.times and not cache.times.startswith(TIMES):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache


TIMES = b"times of this card"


class TimingCache:
    def __init__(self, blob):
        self.times = blob

    def serialize(self):
        return self.times


class OnnxParser:
    num_errors = 0

    def __init__(self, network, logger):
        self.logger = logger

    def parse_from_file(self, path):
        return Path(path).stat().st_size > 0


def module():
    """What `import tensorrt` would give."""
    return SimpleNamespace(
        __version__="fake", ILogger=ILogger, Runtime=Runtime, TensorIOMode=TensorIOMode,
        TensorLocation=TensorLocation, Builder=Builder, BuilderFlag=BuilderFlag,
        NetworkDefinitionCreationFlag=NetworkDefinitionCreationFlag, OnnxParser=OnnxParser,
        ComputeCapability=ComputeCapability, CudaGraphStrategy=CudaGraphStrategy,
        ExecutionContextAllocationStrategy=ExecutionContextAllocationStrategy,
    )  # fmt: skip


def reset():
    """Forget what earlier tests have done."""
    for kept in (RuntimeCache.loaded, Context.made, Context.fails, Builder.built, DRIVER_TOO_OLD):
        kept.clear()


@contextmanager
def unfinished_work():
    """Work of another launch in the stream, as when a backend is closed in its midst."""
    done = []
    QUEUES[SIDE_STREAM].append(lambda: done.append(True))
    yield done
    QUEUES[SIDE_STREAM].clear()
