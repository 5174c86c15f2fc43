"""Trial builds: real depth, reduced width, one process each, and a file that is gone on with."""

import json

import pytest
import torch

from xbind.bench.real_builds import Trial, _random, markdown, read_rows, run_trials
from xbind.cli.build_engines import main
from xbind.errors import XBindError
from xbind.importing.architectures import reduced
from xbind.importing.random_weights import write_shapes
from xbind.networks.graphs import GraphRequest

pytestmark = pytest.mark.slow
GRAPHS = "sds3d,ms"


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The rows of a forward and of gradient graphs, compared with torch."""
    file = tmp_path_factory.mktemp("trial") / "rows.jsonl"
    arguments = ["--measure", str(file), "--shapes", "reduced", "--preset", "probe"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--engine", "onnxruntime", "--compare", "--only", GRAPHS])
    assert ended.value.code == 0
    return file


def test_graphs_of_real_depth_are_what_torch_computes(measured):
    rows = read_rows(measured)
    assert {row["graph"] for row in rows} == {"sds3d-b1-64px", "ms-b3-56px"}
    for row in rows:
        assert row["state"] == "built"
        assert 2**28 < row["peak_bytes"] < 2**32
        assert row["seconds"] > 0
        assert all(0 <= error < 1e-3 for error in row["relative"].values())
        assert "x_bar" in row["relative"]


def test_what_has_a_row_is_not_tried_again(measured, monkeypatch):
    monkeypatch.setattr("xbind.bench.real_builds._in_a_process", None)
    request, said = GraphRequest("ms", 3, 56), []
    trial = Trial("reduced", request, "onnxruntime", "float32", (), compared=True)
    (row,) = run_trials([trial], measured, said.append)
    assert said == ["ms-b3-56px: is measured"]
    (line,) = list(markdown([row]))[2:]
    assert line.startswith("| `ms-b3-56px` | float32 | onnxruntime | ")


def test_a_builder_that_dies_is_a_row_and_the_next_one_is_tried(tmp_path):
    trials = [
        Trial("reduced", GraphRequest(name, 1, 0), "onnxruntime", "float32", (), compared=False)
        for name in ("unet4d", "bind_text")
    ]
    rows = run_trials(trials, tmp_path / "rows.jsonl", lambda line: None)
    assert [row["state"] for row in rows] == ["failed", "built"]
    assert "unet4d" in rows[0]["message"]
    assert rows[1]["bytes"] > 0
    assert rows[1]["relative"] == {}


def test_a_damaged_file_of_rows_is_refused(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"graph": "x"}) + "\nnot a row\n")
    with pytest.raises(XBindError, match=r"rows\.jsonl has a line that is no measurement"):
        read_rows(file)


def test_position_ids_are_no_file_s_and_are_right(tmp_path):
    clip = _random(write_shapes(tmp_path / "shapes", reduced()), "ms", "float32").clip
    (ids,) = [x for name, x in clip.named_buffers() if name.endswith("position_ids")]
    assert torch.equal(ids, torch.arange(17)[None])  # 4² patches and the class token
