"""Versions of what computes, and what is told when they change."""

import numpy as np
import torch

from xbind.run import versions as module
from xbind.run.versions import other_versions, versions


def test_versions_are_those_of_the_libraries_that_are_imported():
    found = versions("onnxruntime")
    assert found["torch"] == torch.__version__
    assert found["numpy"] == np.__version__
    assert found["onnxruntime"]
    assert "eager" not in versions("eager")


def test_other_versions_are_named_once_and_older_records_are_let_pass(monkeypatch):
    started_with = versions("eager")
    assert other_versions(started_with, "eager") == []
    assert other_versions({}, "eager") == []
    assert other_versions(started_with | {"onnxruntime": "0.1"}, "eager") == []
    (told,) = other_versions(started_with | {"torch": "2.0", "numba": "0.1"}, "eager")
    assert f"torch 2.0, here {torch.__version__}; numba 0.1, here" in told
    monkeypatch.setattr(module, "version", lambda _name: "9")
    assert len(other_versions(started_with, "eager")) == 1
