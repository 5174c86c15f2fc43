"""TensorRT's run-time API as far as a backend uses it, which insists on the order of calls.

Memory is real: addresses are read and written. Work is queued on a stream and done when somebody
waits for the stream, so a backend that returns too early returns rubbish.
"""

import ctypes
import enum
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


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class Logger:
    ERROR = 1

    def __init__(self, severity):
        assert severity == Logger.ERROR


class Runtime:
    def __init__(self, logger):
        assert isinstance(logger, Logger)

    def deserialize_cuda_engine(self, plan):
        """None for what was built for another version or GPU, as TensorRT has it."""
        return Engine(rtx=plan.endswith(b"rtx")) if plan.startswith(b"plan") else None


class Engine:
    """y = 2 x + t."""

    TENSORS: ClassVar = {
        "x": (TensorIOMode.INPUT, DataType.FLOAT, (2, 3)),
        "t": (TensorIOMode.INPUT, DataType.INT64, ()),
        "y": (TensorIOMode.OUTPUT, DataType.FLOAT, (2, 3)),
    }
    size = 1000

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

    def create_runtime_config(self):
        assert self.rtx, "only TensorRT-RTX has runtime configurations"
        return RuntimeConfig()

    def create_execution_context(self, how):
        if self.rtx:
            assert isinstance(how, RuntimeConfig)
            how.frozen = True
            how = how.strategy
        assert how is ExecutionContextAllocationStrategy.USER_MANAGED
        return Context(self)


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
        RuntimeCache.loaded.append(blob)
        return True

    def serialize(self):
        return b"kernels"


class Context:
    def __init__(self, engine):
        self.engine, self.addresses, self.memory = engine, {}, None

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

    def execute_async_v3(self, stream):
        assert self.memory is not None, "no scratch memory was given"
        assert self.addresses.keys() == self.engine.TENSORS.keys(), "not every tensor is bound"
        addresses, queue = dict(self.addresses), QUEUES[stream]
        queue.append(lambda: self._compute(addresses))
        self.memory, self.addresses = None, {}  # both must be given for every launch
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


QUEUES = {0: []}
"""Stream handle → what was launched and nobody has waited for."""


class FakeDevice:
    """A device whose memory is the CPU's and whose one stream is done when it is joined."""

    def __init__(self):
        self.device = torch.device("cpu")
        self.joined = []

    def launch_stream(self):
        return SimpleNamespace(cuda_stream=0)

    def join(self, stream, tensors):
        for work in QUEUES[stream.cuda_stream]:
            work()
        QUEUES[stream.cuda_stream].clear()
        self.joined.append(len(tensors))


def module():
    """What `import tensorrt` would give."""
    return SimpleNamespace(
        __version__="fake", Logger=Logger, Runtime=Runtime, TensorIOMode=TensorIOMode,
        ExecutionContextAllocationStrategy=ExecutionContextAllocationStrategy,
        CudaGraphStrategy=CudaGraphStrategy,
    )  # fmt: skip
