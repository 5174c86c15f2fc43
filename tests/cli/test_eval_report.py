"""`xbind eval report` as typed: figures, tables and sheets of several methods."""

import json
import shlex

import pytest
from PIL import Image

from tests.evaluation.test_sheets import run_in
from tests.support.evaluations import evaluation, text
from xbind.cli.main import main
from xbind.evaluation.document import read_section
from xbind.evaluation.sheets import HEAD_PX, LABEL_PX, VIEW_PX

MARKS = "<!-- begin one -->\nold\n<!-- end one -->\n<!-- begin two -->\nold\n<!-- end two -->\n"
MUG, DRUM = text("a mug"), text("a drum", "drum")


def report(words):
    main(["eval", "report", *shlex.split(words)])


def made(path, value=1.0, **settings):
    """An evaluation of two prompts."""
    shape = {"iou": value / 2, "iou_real": 0.9}
    rows = [(MUG, {"clip_r": value} | shape), (DRUM, {"clip_r": 0.5} | shape)]
    return evaluation(path, rows, **settings)


def refused(words):
    with pytest.raises(SystemExit) as leaving:
        report(words)
    assert str(leaving.value.code).startswith("xbind: ")
    return str(leaving.value.code)


def test_the_report_goes_to_the_screen_and_into_a_document(tmp_path, capsys):
    a = made(tmp_path / "a")
    report(f"{a} other={made(tmp_path / 'b', 0.5)}")
    shown = capsys.readouterr().out
    assert "| other | 0.500 ± 0.000 (2) |" in shown
    document = tmp_path / "results.md"
    document.write_text(MARKS)
    report(f"{a} --document {document} --section one")
    assert "| xbind | 0.750 ± 0.250 (2) |" in read_section(document, "one")
    assert read_section(document, "two") == "old"


def test_seeds_are_one_row_and_categories_are_told_apart(tmp_path, capsys):
    folders = [made(tmp_path / f"x{k}", seed=k, prior_3d="narrow") for k in range(3)]
    others = [made(tmp_path / f"d{k}", 0.5, seed=k, preset="dreamfusion") for k in range(2)]
    report(
        f"xbind={','.join(map(str, folders))} dreamfusion={others[0]},{others[1]} --paper table-2"
    )
    shown = capsys.readouterr().out
    assert "| xbind | 0.750 ± 0.144 (4) |" in shown
    assert "| xbind | seen | 1.000 ± 0.000 (2) |" in shown
    assert "| dreamfusion | 0.500 ± 0.000 (4) | 0.6576 |" in shown
    assert "- xbind: 3D prior narrow, seeds 0, 1, 4 objects" in shown


def test_the_tables_are_those_of_the_file_of_results(tmp_path, capsys):
    results, document = tmp_path / "results.json", tmp_path / "results.md"
    document.write_text(MARKS)
    a, b = made(tmp_path / "a"), made(tmp_path / "b", 0.5)
    report(f"{a} --results {results} --section one --document {document}")
    report(f"{b} --results {results} --section two --document {document}")
    held = json.loads(results.read_text())["sections"]
    assert list(held) == ["one", "two"]
    before = document.read_text()
    document.write_text(MARKS)
    report(f"--results {results} --document {document}")
    assert document.read_text() == before
    report(f"--results {results} --section two")
    shown = capsys.readouterr().out
    assert shown.strip() == read_section(document, "two")
    changed = results.read_text().replace('"clip_r":1,', '"clip_r":0,')
    assert changed != results.read_text()
    results.write_text(changed)
    report(f"--results {results} --document {document}")
    assert "| xbind | 0.250 ± 0.250 (2) |" in read_section(document, "one")


def test_a_section_that_is_made_again_keeps_its_place(tmp_path):
    results, a = tmp_path / "results.json", made(tmp_path / "a")
    for section in ("one", "two", "one"):
        report(f"{a} --results {results} --section {section}")
    assert list(json.loads(results.read_text())["sections"]) == ["one", "two"]


def test_a_bundle_that_has_changed_is_named(tmp_path, capsys):
    report(str(made(tmp_path / "a", bundle_sha256="another", prior_3d="narrow")))
    told = capsys.readouterr()
    assert "Seen and unseen categories are not told apart: The bundle 'mini' has" in told.err
    assert "| categories |" not in told.out


def test_mistakes_are_told_in_one_message(tmp_path):
    a, b = made(tmp_path / "a"), made(tmp_path / "b", preset="smoke", seed=1)
    results = tmp_path / "results.json"
    assert "no evaluation in" in refused(str(tmp_path))
    assert "differ in preset" in refused(f"{a},{b}")
    assert "no prompt in common with the same seed" in refused(f"{a} {b}")
    assert "as in the paper's table-2" in refused(f"ours={a} --paper table-2")
    assert "is not a file of results" in refused(f"--results {results}")
    results.write_text("[]")
    assert "wanted an object" in refused(f"{a} --results {results} --section one")
    assert results.read_text() == "[]"
    results.unlink()
    (tmp_path / "page.md").write_text(MARKS)
    words = f"{a} --results {results} --document {tmp_path / 'page.md'} --section three"
    assert "has no section 'three': wanted one line" in refused(words)
    assert not results.exists()
    report(f"{a} --results {results} --section one")
    assert "has no section 'two'; it has: one." in refused(f"--results {results} --section two")


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_the_sheet_has_the_lowest_seed_and_the_methods_as_columns(tmp_path, name):
    colours = {"x": (1.0, 0.0, 0.0), "y": (0.0, 0.0, 1.0)}
    folders = {}
    for label, colour in colours.items():
        for seed in (1, 2):
            folders[label, seed] = evaluation(
                tmp_path / f"{label}{seed}", [(MUG, {"iou": 0.5})], seed=seed
            )
            run_in(folders[label, seed] / "a_mug", colour if seed == 1 else (0.0, 1.0, 0.0))
    words = " ".join(f"{label}={folders[label, 2]},{folders[label, 1]}" for label in colours)
    report(f"{words} --sheet {tmp_path / name}")
    with Image.open(tmp_path / name) as sheet:
        assert sheet.size == (LABEL_PX + 6 * VIEW_PX, HEAD_PX + VIEW_PX)
        for j, colour in enumerate(colours.values()):
            middle = (LABEL_PX + (3 * j + 0.5) * VIEW_PX, HEAD_PX + VIEW_PX / 2)
            shown = sheet.getpixel(tuple(map(int, middle)))
            assert all(abs(s - 255 * c) < 12 for s, c in zip(shown, colour, strict=True))


def test_without_an_object_of_every_method_there_is_no_sheet(tmp_path):
    a = evaluation(tmp_path / "a", [(MUG, None)])
    assert "There is no prompt that every method made" in refused(f"{a} --sheet {tmp_path}/s.png")
