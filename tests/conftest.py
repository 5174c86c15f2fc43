"""Fixtures for every test."""

import signal

import pytest
import torch

# Processes that a shell has started in the background ignore Ctrl-C, and so would those of tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A second thread changes the order of sums, and steals the time of the tests beside this one.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that parallel workers end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
