"""Files of a bundle's components to networks and tensors, with one guard around the libraries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from xbind.networks.manifest import BundleError
from xbind.system.untrusted import guarded

Fill = Callable[[Callable[[], nn.Module], Path], nn.Module]
"""Makes a network and gives it the weights of a file."""


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Turns whatever a library raises for the files of one component into a `BundleError`.

    Hashes only show that the files are those of the bundle, not that they make sense.
    """
    with guarded(
        lambda why: BundleError(
            f"{path} cannot be used: {why}.\nInstall or import the bundle again."
        )
    ):
        yield


def fill_in(build: Callable[[], nn.Module], path: Path) -> nn.Module:
    """Load safetensors into a network as float32 and freeze it.

    Shapes are compared before any memory is taken for the network: a configuration can ask for
    terabytes.

    Raises:
        BundleError: the file does not fit the network.
    """
    with torch.device("meta"):
        wanted = {name: tuple(x.shape) for name, x in build().state_dict().items()}
    with safe_open(path, "pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    differ = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
    if differ:
        name = differ[0]
        raise BundleError(
            f"{path} does not fit its configuration: {len(differ)} tensors differ, such as {name}, "
            f"{_shape(found.get(name))} in the file and {_shape(wanted.get(name))} in the network."
            f"\nInstall or import the bundle again."
        )
    net = build()
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))


def load_tensors(path: Path, *names: str) -> list[Tensor]:
    """Some tensors of a small file, in float32; they must be finite."""
    with loading(path):
        state = load_file(path)
        tensors = [state[name].float() for name in names]
        for name, tensor in zip(names, tensors, strict=True):
            if not bool(tensor.isfinite().all()):
                raise ValueError(f"{name} holds numbers that are not finite")
    return tensors
