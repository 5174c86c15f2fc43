"""The API of onnxruntime-gpu as far as a backend uses it, which insists on how it is called.

Memory is real: bound addresses are read and written. A run is queued on the session's stream and
done when somebody waits for that stream, so a backend that reads too early reads rubbish. The work
is 2 x + t. After the first run a session replays it, whose addresses may then not change.
"""

import ctypes
from types import SimpleNamespace

import numpy as np
import torch

STREAM = 4711
QUEUE = []
"""Work that was started and is not done."""
SESSIONS = []
PROVIDER = "CUDAExecutionProvider"


class State:
    """What is wrong with the fake installation."""

    providers = (PROVIDER, "CPUExecutionProvider")
    starts_with = (PROVIDER, "CPUExecutionProvider")
    on_cpu = ()
    """Nodes that have no CUDA kernel."""
    tells_assignment = True
    fails = None
    """Message of the error that loading or running raises."""


def reset():
    QUEUE.clear()
    SESSIONS.clear()
    State.providers = State.starts_with = (PROVIDER, "CPUExecutionProvider")
    State.on_cpu, State.tells_assignment, State.fails = (), True, None


class FakeDevice:
    """A device whose memory is the CPU's, with one stream of its own."""

    def __init__(self):
        self.device = torch.device("cpu")
        self.calls = []

    def own_stream(self):
        self.calls.append("own stream")
        return SimpleNamespace(cuda_stream=STREAM)

    def join(self, stream, tensors):
        assert stream.cuda_stream == STREAM
        self.calls.append("join")
        self._finish()

    def mark(self):
        self.calls.append("mark")
        return len(self.calls)

    def wait(self, mark):
        self.calls.append(("wait", mark))

    def synchronize(self):
        self.calls.append("synchronize")
        self._finish()

    def _finish(self):
        while QUEUE:
            QUEUE.pop(0)()


class SessionOptions:
    def __init__(self):
        self.entries, self.log_severity_level = {}, 2

    def add_session_config_entry(self, key, value):
        self.entries[key] = value


class IOBinding:
    def __init__(self):
        self.bound = {}

    def _bind(self, name, device, index, element_type, shape, address):
        assert device == "cpu"  # of the fake device
        assert index == 0
        assert element_type in (np.float32, np.int64)
        size = int(np.prod(shape)) * np.dtype(element_type).itemsize
        memory = (ctypes.c_byte * size).from_address(address)
        self.bound[name] = np.frombuffer(memory, element_type).reshape(shape), address

    bind_input = _bind
    bind_output = _bind

    def value(self, name):
        return self.bound[name][0]

    def addresses(self):
        return {name: address for name, (_, address) in self.bound.items()}


class InferenceSession:
    def __init__(self, path, options, *, providers, enable_fallback=1):
        assert enable_fallback == 0, "Python would take the CPU in place of a provider that fails"
        [(name, settings)] = providers  # with the CPU's named, disable_cpu_ep_fallback is an error
        assert name == PROVIDER
        assert all(isinstance(value, str) for value in settings.values())
        assert settings["user_compute_stream"] == str(STREAM)
        assert settings["use_tf32"] == "0"
        assert settings["enable_cuda_graph"] == "1"
        if State.fails:
            raise RuntimeError(State.fails)
        refuses = options.entries.get("session.disable_cpu_ep_fallback") == "1"
        if State.on_cpu and refuses and State.starts_with[0] == PROVIDER:
            raise RuntimeError(
                "This session contains graph nodes that are assigned to the default CPU EP, but "
                "fallback to CPU EP has been explicitly disabled by the user."
            )
        assert path.endswith("model.onnx")
        self._entries, self._recorded, self.replays = options.entries, None, 0
        SESSIONS.append(self)

    def get_providers(self):
        return list(State.starts_with)

    def __getattribute__(self, name):
        if name == "get_provider_graph_assignment_info" and not State.tells_assignment:
            raise AttributeError(name)
        return super().__getattribute__(name)

    def get_provider_graph_assignment_info(self):
        assert self._entries["session.record_ep_graph_assignment_info"] == "1"
        nodes = [SimpleNamespace(op_type=op, name=name) for op, name in State.on_cpu]
        gpu = SimpleNamespace(ep_name=PROVIDER, get_nodes=list)
        cpu = SimpleNamespace(ep_name="CPUExecutionProvider", get_nodes=lambda: nodes)
        return [gpu, *([cpu] if nodes else [])]

    def io_binding(self):
        return IOBinding()

    def run_with_iobinding(self, binding):
        if State.fails:
            raise RuntimeError(State.fails)
        assert not QUEUE, "the session's work of the last run is not waited for"
        if self._recorded is None:
            self._recorded = binding.addresses()
        else:
            assert binding.addresses() == self._recorded, "a CUDA graph has fixed addresses"
            self.replays += 1
        QUEUE.append(lambda: _compute(binding))


def _compute(binding):
    np.copyto(binding.value("y"), 2 * binding.value("x") + binding.value("t"))


def module():
    return SimpleNamespace(
        __version__="1.32.0-fake", SessionOptions=SessionOptions,
        InferenceSession=InferenceSession, get_available_providers=lambda: list(State.providers),
    )  # fmt: skip
