"""Values of the trainer's command-line options, and its device."""

import torch

from xbind.errors import XBindError


def positive(text: str) -> int:
    """An integer above zero.

    Raises:
        ValueError: it is none.
    """
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def positive_number(text: str) -> float:
    """A number above zero.

    Raises:
        ValueError: it is none.
    """
    value = float(text)
    if not value > 0:
        raise ValueError
    return value


def share(text: str) -> float:
    """A number above 0, at most 1.

    Raises:
        ValueError: it is none.
    """
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError
    return value


# argparse names the type so
positive.__name__ = "positive integer"
positive_number.__name__ = "positive number"
share.__name__ = "share between 0 and 1"


def training_device(name: str) -> torch.device:
    """The device of that name, set up for training.

    Raises:
        XBindError: torch finds no CUDA.
    """
    if name == "cuda":
        if not torch.cuda.is_available():
            raise XBindError(
                f"--device cuda was asked for; torch {torch.__version__} finds no CUDA device.\n"
                "Leave out --device, or install a torch built for CUDA on a machine with a GPU."
            )
        torch.backends.cudnn.benchmark = True  # every step has the same shapes
        torch.set_float32_matmul_precision("high")  # TensorFloat-32 for what autocast leaves
    return torch.device(name)
