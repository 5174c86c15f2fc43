"""A backend is known by its record: everything else reads it."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from tests.support.backend_records import only
from xbind.config.backends import BACKENDS, automatic_for, backends_for, cross_builders
from xbind.config.options import BuildChoice, EngineChoice
from xbind.engine.backend import Runtime
from xbind.engine.backends import able_backends, record_of, resolve, runtime_of
from xbind.engine.errors import BackendUnavailable, EngineError

ROOT = Path(__file__).parent.parent.parent
ELSEWHERE = {
    "xbind/cli/build_engines.py": {"onnxruntime"},  # --compare is for it alone
    "xbind/cli/doctor.py": {"onnxruntime"},  # the distribution
    "xbind/memory/plan.py": {"tensorrt-rtx"},  # whose graphs are counted
}
"""Modules outside of a backend's own that name one, and why."""


@pytest.mark.parametrize("name", BACKENDS)
def test_a_record_names_what_there_is(name):
    record = record_of(name)
    assert record.name == name
    assert isinstance(runtime_of(name), Runtime)
    assert runtime_of(name).backend == name
    assert callable(resolve(record.builder))
    assert record.device in ("cpu", "cuda")


def test_flags_take_every_backend():
    assert get_args(EngineChoice) == ("auto", "eager", "cuda-graphs", *BACKENDS)
    assert get_args(BuildChoice) == ("auto", *BACKENDS)


def test_no_other_module_lists_backends():
    """String constants of `xbind/` that are a backend's name, its record aside."""
    found = {}
    for path in (ROOT / "xbind").rglob("*.py"):
        constants = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        if named := constants & BACKENDS.keys():
            found[path.relative_to(ROOT).as_posix()] = named
    packages = {  # modules of the packages themselves
        "xbind/system/telemetry.py": {"openvino"},
        "xbind/system/out_of_memory.py": {"onnxruntime"},
    }
    own = {"xbind/config/backends.py": set(BACKENDS)}
    assert found == ELSEWHERE | packages | own


def test_an_unknown_backend_lists_those_that_there_are():
    with pytest.raises(EngineError, match=r"no backend 'tvm'.\nChoose .*onnxruntime"):
        runtime_of("tvm")


def test_the_order_of_records_is_the_order_of_choice():
    names = [record.name for record in automatic_for("cpu")]
    assert able_backends("cpu") == names
    assert [record.name for record in cross_builders()] == ["tensorrt-rtx"]
    with only(*reversed(BACKENDS.values())):
        assert able_backends("cpu") == names[::-1]
    assert able_backends("cpu") == names


def test_with_two_threads_onnx_runtime_comes_first():
    assert able_backends("cpu", threads=1)[0] == "openvino"
    assert able_backends("cpu", threads=2) == ["onnxruntime", "openvino"]
    assert able_backends("cpu", ["bfloat16"], threads=2) == ["openvino"]
    assert automatic_for("cuda", threads=2) == automatic_for("cuda")


def test_why_each_backend_is_not_able_is_said(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match=r"on this GPU\.") as error:
        able_backends("cuda")
    assert len(str(error.value).splitlines()) >= 1 + 2 * len(automatic_for("cuda"))


def test_auto_does_not_take_inductor():
    for device, name in (("cpu", "inductor-cpu"), ("cuda", "inductor")):
        assert name in [record.name for record in backends_for(device)]
        assert name not in [record.name for record in automatic_for(device)]
