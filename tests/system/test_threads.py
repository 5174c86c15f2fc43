"""torch's threads are set for a while."""

import pytest
import torch

from xbind.system.threads import torch_threads


def test_threads_are_set_and_put_back_whatever_happens():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(KeyError), torch_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
