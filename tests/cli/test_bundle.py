"""`xbind bundle show` and `import`, and `xbind doctor`, on small bundles."""

import re
from types import SimpleNamespace

import pytest

from tests.support.two_priors import two_priors
from xbind.cli.main import main


def test_show_counts_parameters_and_bytes(bundle, capsys):
    main(["bundle", "show", str(bundle)])
    shown = capsys.readouterr().out
    assert "name: tiny [beta]" in shown
    assert "resolutions: \n  coarse: 64\n" in shown
    assert "licence: Apache-2.0" in shown
    rows = {row[0]: row[1:] for line in shown.splitlines() if (row := line.strip("│┃ ").split("│"))}
    rows = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items() if cells}
    assert rows["unclip/unet"][0] == "18"  # 3·4 + 5 + one scalar
    assert rows["bind"][0] == "2,000"
    assert rows["all"][0] == "2,018"
    assert "all 3 agree with their hashes" in shown


def test_show_indents_each_3d_prior_below_its_name(tmp_path, capsys):
    main(["bundle", "show", str(two_priors(tmp_path))])
    shown = capsys.readouterr().out
    assert "priors_3d: \n  wide: \n    component: zero123\n    categories: [" in shown
    assert "\n  narrow: \n    component: zero123_narrow\n" in shown


def test_show_refuses_a_changed_file(bundle, capsys):
    (bundle / "unclip/unet/config.json").write_bytes(b"{ }")
    with pytest.raises(SystemExit) as leaving:
        main(["bundle", "show", str(bundle)])
    assert f"is damaged: {bundle / 'unclip/unet/config.json'}" in leaving.value.code


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"\x08\0\0\0\0\0\0\0{broken!"])
def test_show_refuses_a_damaged_header(bundle, data):
    (bundle / "bind/model.safetensors").write_bytes(data)
    with pytest.raises(SystemExit) as leaving:
        main(["bundle", "show", str(bundle)])
    assert "bind/model.safetensors is missing or damaged" in leaving.value.code


def test_doctor_is_content_with_a_whole_bundle(bundle, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", "--bundle", str(bundle)])
    shown = capsys.readouterr().out
    assert leaving.value.code == 0, shown
    for topic in (
        "python",
        "torch",
        "CPU",
        "CUDA",
        "engine",
        "engines",
        "cache",
        "disk",
        "bundle",
    ):
        assert f" {topic} " in shown
    assert "3 files" in shown
    assert "all hashes agree" in shown


def test_doctor_fails_for_a_changed_file_and_still_reports_the_rest(bundle, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (bundle / "bind/model.safetensors").write_bytes(b"")
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", "--bundle", str(bundle)])
    assert leaving.value.code == 1
    shown = capsys.readouterr().out
    assert re.search(r"(?m)^ ok +python ", shown)
    assert re.search(r"(?m)^ fail +bundle +The bundle 'tiny \[beta\]' is damaged", shown)
    assert "bind/model.safetensors" in shown


@pytest.mark.parametrize("given", [True, False])
def test_import_passes_taesd_on_and_says_its_licence(tmp_path, monkeypatch, capsys, given):
    for name in ("unclip/tokenizer", "zero123", "taesd"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("imagebind.pth", "unclip/tokenizer/vocab.json", "unclip/tokenizer/merges.txt"):
        (tmp_path / name).touch()
    seen = {}

    def fake(sources, out, architecture, report, *, origins):
        seen.update(taesd=sources.taesd, origin=origins.get("taesd"), folder=out)
        return SimpleNamespace(folder=out)

    monkeypatch.setattr("xbind.importing.bundle.import_bundle", fake)
    taesd = str(tmp_path / "taesd")
    arguments = [f"--{name}={tmp_path / name}" for name in ("unclip", "zero123")]
    arguments += [f"--imagebind={tmp_path / 'imagebind.pth'}", f"--out={tmp_path / 'out'}"]
    main(["bundle", "import", *arguments, *([f"--taesd={taesd}"] if given else [])])
    assert seen["taesd"] == (tmp_path / "taesd" if given else None)
    assert seen["origin"] == (taesd if given else None)
    assert ("licence of taesd: MIT" in capsys.readouterr().out) == given
