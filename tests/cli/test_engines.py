"""`xbind engines`: what is listed, found damaged, and removed."""

import pytest

from xbind.cli import engines
from xbind.cli.main import main
from xbind.engine.record import Key, Made
from xbind.engine.spec import GraphSpec
from xbind.engine.store import EngineStore
from xbind.networks.fingerprint import key_of
from xbind.networks.graphs import GraphRequest
from xbind.networks.manifest import load_manifest

FIGURES = {"loss": {"cosine": 1.0, "relative": 1e-7}, "x_bar": {"cosine": 1.0, "relative": 2e-6}}


def make(folder):
    (folder / "model.onnx").write_bytes(b"graph" * 100)
    return Made(GraphSpec("ms-b3-64px", (), ()), {"seconds": 1.25, "parity": FIGURES})


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XBIND_CACHE", str(tmp_path))
    return EngineStore(tmp_path / "engines")


@pytest.fixture
def current():
    return key_of(GraphRequest("ms", 3, 64), "onnxruntime", load_manifest("mini"))


def older(key):
    return Key({**key.fields, "torch": "1.0"})


def test_list_says_what_fits_and_what_does_not(store, current, capsys):
    store.build(current, make)
    store.build(older(current), make)
    main(["engines", "list"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.strip().startswith("ms-b3-64px")]
    assert sum("in use" in row for row in rows) == 1
    assert sum("torch: built for 1.0, wanted" in row for row in rows) == 1
    assert all("1.2 s" in row and "2e-06" in row and "500 B" in row for row in rows)
    assert lines[-1].startswith("2 engines, 1000 B, in ")


def test_list_of_an_empty_store(store, capsys):
    main(["engines", "list"])
    assert capsys.readouterr().out.startswith("0 engines, 0 B, in ")


def test_verify_finds_a_changed_byte(store, current, capsys):
    path = store.build(current, make).folder / "model.onnx"
    with pytest.raises(SystemExit) as done:
        main(["engines", "verify"])
    assert done.value.code == 0
    path.write_bytes(b"Graph" + path.read_bytes()[5:])
    with pytest.raises(SystemExit) as done:
        main(["engines", "verify"])
    assert done.value.code == 1
    assert f"{path} is not what was written" in capsys.readouterr().out


def test_gc_removes_what_does_not_fit_and_all_removes_the_rest(store, current, capsys):
    kept, gone = store.build(current, make), store.build(older(current), make).folder
    main(["engines", "gc"])
    assert kept.folder.is_dir()
    assert not gone.exists()
    assert gone.name in capsys.readouterr().out
    main(["engines", "gc", "--all"])  # a run that holds it goes on
    assert f"kept {kept.folder.name}: a run is using it" in capsys.readouterr().out
    kept.verify()
    del kept
    main(["engines", "gc", "--all"])
    assert not list(store.entries())


def test_a_damaged_description_is_a_row_of_its_own(store, current, capsys):
    (store.build(current, make).folder / "engine.json").write_text("{")
    engines.show()
    assert "damaged" in capsys.readouterr().out
