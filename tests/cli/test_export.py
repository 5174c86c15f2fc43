"""`xbind export` from the command line."""

import pytest
import trimesh

from tests.support.finished_runs import write_run
from xbind.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "mug")


def test_writes_a_file_and_says_how_large_the_object_is(run, tmp_path, capsys):
    out = tmp_path / "new/mug.stl"
    main(["export", str(run), "--out", str(out), "--height", "8cm", "--faces", "500"])
    said = capsys.readouterr().out
    assert str(out) in said
    assert "500 faces; " in said
    assert " x 80.0 mm (width x depth x height); z up, front towards -y" in said
    assert trimesh.load(out).extents[2] == pytest.approx(80, rel=1e-5)


def test_says_where_the_colours_come_from(run, tmp_path, capsys):
    words = ["export", str(run), "--out", str(tmp_path / "m.glb"), "--texture", "64"]
    main(words)
    said = capsys.readouterr().out
    assert "baked from the run's texture field" in said
    assert " x 1.000 m (width x depth x height); y up, front towards +z" in said
    with pytest.raises(SystemExit, match="--overwrite"):
        main(words)
    main([*words, "--overwrite"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --format, such as --format stl, or --out"),
        (["--out", "m.fbx"], "does not end in a mesh format"),
        (["--format", "fbx"], "invalid choice|--format"),
        (["--format", "stl", "--height", "80 parsecs"], "mm, cm, m or in"),
        (["--format", "stl", "--height", "-1mm"], "positive number"),
        (["--format", "stl", "--height", "1e9"], "between 1e-06 and 1e+06 metres"),
        (["--format", "3mf", "--texture", "512"], "holds no texture"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["export", str(tmp_path / "nothing"), *words])
    assert left.value.code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert any(part in said for part in message.split("|"))


def test_a_run_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"nothing does not exist\.\nGive the folder"):
        main(["export", str(tmp_path / "nothing"), "--format", "stl"])
