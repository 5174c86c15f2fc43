"""Tests against other people's implementations, which need an environment of their own.

`make oracles` builds it and runs them; in any other environment nothing here is collected.
"""

import importlib.util
import sys
import warnings

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("imagebind") else ["test_*.py"]


def pytest_report_header():
    return "tests/oracles: run them with `make oracles`" if collect_ignore_glob else None


@pytest.fixture(scope="session")
def imagebind():
    """The `imagebind` package; it asks for a module of torchvision that has been renamed."""
    import torchvision.transforms.functional as functional

    sys.modules.setdefault("torchvision.transforms.functional_tensor", functional)
    with warnings.catch_warnings():  # of what it imports, about itself
        warnings.simplefilter("ignore")
        import imagebind.data
        import imagebind.models.imagebind_model

    return imagebind
