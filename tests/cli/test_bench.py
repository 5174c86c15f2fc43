"""`xbind-bench`: one small run with every column, and each way in which it may refuse."""

import json
import os
import re
from xml.etree import ElementTree

import pytest
import torch
from bench_rows import curve_row

from xbind.bench import commands, variants
from xbind.bench.curves import exponent
from xbind.bench.plot import plot_curves
from xbind.cli.bench import main
from xbind.engine.errors import BackendUnavailable


def run(words):
    with pytest.raises(SystemExit) as done:
        main(words.split())
    return done.value.code


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_smoke(tmp_path, capsys):
    """A real run of few steps: every variant computes the same, and the parts are the whole."""
    lines, picture = tmp_path / "rows.jsonl", tmp_path / "rows.svg"
    code = run(
        f"--preset smoke --engine plain eager onnxruntime --samples 1 --clock cpu --json {lines} "
        f"--plot {picture}"
    )
    assert code == 0
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    found = {(row["phase"], row["form"]): row for row in rows}
    names = ("plain", "eager", "onnxruntime")
    phases = ("coarse", "geometry", "texture")
    assert list(found) == [(phase, name) for phase in phases for name in names]
    own = {
        "coarse": {"occupancy", "sds2d_img"},
        "geometry": {"surface", "regularisers", "cds2d"},
        "texture": {"sds2d_img"},
    }
    for row in rows:
        assert row["agrees"]
        assert row["gradient_cosine"] > 0.9999
        assert row["gradient_error"] < 1e-3
        assert row["term_error"] < 1e-3
        assert row["render_difference"] < 1e-5
        parts = row["parts_ms"]
        shared = {"render", "augment", "backward", "sds3d_img", "ms", "optimiser", "other"}
        assert own[row["phase"]] | shared <= parts.keys()
        assert min(parts.values()) >= 0
        assert sum(parts.values()) == pytest.approx(row["mean_ms"], rel=0.05)
        assert min(row["roofline"].values()) > 0
        assert {"ms", "sds3d_img", "differentiable half", "optimiser"} <= row["roofline"].keys()
    assert found["coarse", "plain"]["ratio"] == 1.0
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    told = capsys.readouterr().out
    assert re.search(r"GB/s, \d+ GFLOP/s", told)
    assert "NOT THE SAME" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--preset fats", "There is no preset 'fats'"),
        (
            "--engine onnx",
            "There is no variant 'onnx'.\nChoose with --engine: definition, plain",
        ),
        ("--bundle nowhere", "There is no bundle 'nowhere'"),
        ("--json /nowhere/rows.jsonl", "Cannot write /nowhere/rows.jsonl: No such file"),
        ("--curves --plot /nowhere/a.svg", "Cannot write /nowhere/a.svg: No such file"),
    ],
)
def test_refuses_in_words(words, told):
    code = run(words)
    assert isinstance(code, str)  # to standard error, with status 1
    assert code.startswith(f"xbind-bench: {told}")


@pytest.mark.parametrize(
    "words",
    ["--samples 0", "--threads 0", "--size 2", "--whole --curves"],
)
def test_refuses_flags(words):
    assert run(words) == 2


def test_a_named_engine_never_falls_back(monkeypatch):
    def absent(name):
        raise BackendUnavailable(f"{name} is not installed.\nInstall it.")

    monkeypatch.setattr(variants, "version_of", absent)
    assert run("--engine eager openvino") == (
        "xbind-bench: openvino is not installed.\nInstall it."
    )


def test_what_does_not_run_here_is_said_and_left_out(monkeypatch):
    def absent(name, precisions):
        raise BackendUnavailable(f"{name} is not installed.\nInstall it.")

    said = []
    monkeypatch.setattr(variants, "check_available", absent)
    monkeypatch.setattr(variants, "compiler", lambda: None)
    assert variants.choose_variants((), "float32", said.append) == ["plain", "eager"]
    assert [line.partition(":")[0] for line in said] == [
        "without torch.compile", "without cuda-graphs", "without openvino", "without onnxruntime",
        "without inductor-cpu", "without tensorrt", "without tensorrt-rtx",
        "without onnxruntime-gpu", "without inductor",
    ]  # fmt: skip
    assert "needs a C++ compiler" in said[0]


def test_the_named_compiler_is_taken(monkeypatch, tmp_path):
    named = tmp_path / "my-c++"
    named.touch(mode=0o755)
    monkeypatch.setenv("CXX", str(named))
    assert variants.compiler() == str(named)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", os.devnull)
    assert variants.compiler() is None


@pytest.mark.parametrize(("last", "code"), [(1.0, 0), (2.0, 1)])
def test_more_than_linear_fails(monkeypatch, capsys, tmp_path, last, code):
    monkeypatch.setattr(commands, "load_bundle", lambda _: None)
    monkeypatch.setattr(commands, "measure_curves", lambda *_, **__: [curve_row(last)])
    assert run(f"--curves --plot {tmp_path / 'curves.svg'}") == code
    assert ("MORE THAN LINEAR: coarse in views (2.00)." in capsys.readouterr().out) == bool(code)


def test_exponents():
    x = [1.0, 10.0, 100.0]
    assert exponent(x, [3 * v**1.5 for v in x]) == pytest.approx(1.5)
    assert exponent(x, [5.0, 5.0, 5.0]) == 0
    # by hand: log10 y = 0, 1, 1 at 0, 1, 2: slope of least squares 1/2
    assert exponent(x, [1.0, 10.0, 10.0]) == pytest.approx(0.5)


def test_curves_are_drawn_from_corner_to_corner():
    root = ElementTree.fromstring(plot_curves({"a & b": {1.0: 10.0, 100.0: 1000.0}}, "t"))
    (line,) = (shape for shape in root if shape.tag.endswith("polyline"))
    (x0, y0), (x1, y1) = (tuple(map(float, p.split(","))) for p in line.get("points").split())
    assert x0 < x1
    assert y0 > y1  # up is less y


@pytest.mark.parametrize(
    ("name", "device", "remedy"),
    [("cuda-graphs", "cpu", "cuda"), ("tensorrt-rtx", "cpu", "cuda"), ("openvino", "cuda", "cpu")],
)
def test_a_variant_of_another_device_is_refused_even_where_there_is_a_gpu(
    name, device, remedy, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(variants.BenchError, match=f"on {device}.\nGive --device {remedy}"):
        variants.choose_variants((name,), "float32", print, torch.device(device))
