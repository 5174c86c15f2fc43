"""The CUDA device of an engine: its name, its streams, and the order of work on it."""

from typing import Any

import torch
from torch import Tensor

from xbind.engine.errors import BackendUnavailable


def check_cuda(backend: str) -> None:
    """Refuse a machine without a CUDA device.

    Args:
        backend: that needs one, for the message.

    Raises:
        BackendUnavailable: there is none.
    """
    if not torch.cuda.is_available():
        raise BackendUnavailable(
            f"{backend} runs on a CUDA device, and torch finds none here.\n"
            "Choose --engine onnxruntime, or another engine of the CPU."
        )


def card_of_device(backend: str, device: torch.device | None = None) -> str:
    """Architecture and name of a CUDA device, such as `sm89 NVIDIA GeForce RTX 4090`.

    Args:
        backend: that needs one, for the message.
        device: the current one by default.

    Raises:
        BackendUnavailable: there is no CUDA device.
    """
    check_cuda(backend)
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm{major}{minor} {torch.cuda.get_device_name(device)}"


def has_card(card: str) -> bool:
    """Whether the current CUDA device, if there is one, is of this name."""
    return torch.cuda.is_available() and card_of_device("CUDA") == card


class CudaDevice:
    """What a backend asks of the device: memory, streams and order. Replaced by a fake in tests."""

    def __init__(self, device: torch.device | None = None) -> None:
        """`device` with or without an index; the current one by default.

        Raises:
            BackendUnavailable: there is no CUDA device.
        """
        check_cuda("This engine")
        index = None if device is None else device.index
        self.device = torch.device("cuda", torch.cuda.current_device() if index is None else index)
        self._side = torch.cuda.Stream(self.device)

    def active(self) -> Any:  # noqa: ANN401
        """A context in which this device is the thread's current one, as TensorRT requires."""
        return torch.cuda.device(self.device)

    def launch_stream(self) -> Any:  # noqa: ANN401
        """The caller's stream, or one of our own in place of the default stream.

        On the default stream TensorRT synchronises with everything else at every launch, and
        cannot record a CUDA graph.
        """
        current = torch.cuda.current_stream(self.device)
        if current != torch.cuda.default_stream(self.device):
            return current
        self._side.wait_stream(current)
        return self._side

    def own_stream(self) -> Any:  # noqa: ANN401
        """The stream of this object, always the same one, after the work of the caller's stream."""
        self._side.wait_stream(torch.cuda.current_stream(self.device))
        return self._side

    def join(self, stream: Any, tensors: list[Tensor]) -> None:  # noqa: ANN401
        """Let the caller's stream wait for `stream`, and memory live until `stream` is done."""
        for tensor in tensors:
            tensor.record_stream(stream)
        current = torch.cuda.current_stream(self.device)
        if stream != current:
            current.wait_stream(stream)

    def mark(self) -> Any:  # noqa: ANN401
        """A mark behind all work that the caller's stream has so far."""
        return torch.cuda.current_stream(self.device).record_event()

    def wait(self, mark: Any) -> None:  # noqa: ANN401
        """Let the caller's stream, which may be another one, wait for a mark."""
        torch.cuda.current_stream(self.device).wait_event(mark)

    def synchronize(self) -> None:
        """Wait until the device is idle."""
        torch.cuda.synchronize(self.device)
