"""Fixtures for every test."""

import pytest
import torch

# A second thread changes the order of sums, and steals the time of the tests beside this one.
torch.set_num_threads(1)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
