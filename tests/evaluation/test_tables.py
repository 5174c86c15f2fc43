"""Tables of a section: means, groups, paired differences, seconds, the paper's figures, origin."""

import math

import pytest

from xbind.evaluation.paper import PRINTED
from xbind.evaluation.sections import Method, ObjectLine, Section
from xbind.evaluation.tables import to_markdown

SETTINGS = {
    "preset": "default", "prior_3d": None, "seeds": [0, 1], "workers": [2], "without": [],
    "bundle_sha256": "0123456789abcdef", "commits": ["abc"], "commands": ["xbind eval run --out a"],
}  # fmt: skip


def line(prompt, seed=0, *, kind="text", seconds=10.0, seen=None, failure=None, **figures):
    return ObjectLine(
        prompt=prompt, seed=seed, kind=kind, seconds=seconds, seen=seen, failure=failure,
        figures=figures,
    )  # fmt: skip


def method(label, *objects, **settings):
    return Method(label, SETTINGS | settings, objects)


def section(*methods, real=None, **given):
    prompts = {o.prompt for m in methods for o in m.objects}
    return Section(methods=methods, real={p: (real or {}).get(p, {}) for p in prompts}, **given)


def cells(text, *starts):
    """Cells of the one row that begins with these."""
    begin = "".join(f"| {start} " for start in starts) + "|"
    [row] = [row for row in text.splitlines() if row.startswith(begin)]
    return [cell.strip() for cell in row.strip("|").split("|")][len(starts) :]


def table(text, head):
    """The table whose first column has this head."""
    [found] = [part for part in text.split("\n\n") if part.startswith(f"| {head} |")]
    return found


def column(text, head, name):
    """Row's first cell → its cell in a column."""
    rows = [
        [c.strip() for c in row.strip("|").split("|")] for row in table(text, head).splitlines()
    ]
    at = rows[0].index(name)
    return {row[0]: row[at] for row in rows[2:]}


XBIND = method(
    "xbind",
    line("mug", 0, clip_r=1.0, iou=0.9, chamfer=0.02, silhouette_change=0.30, bumps=1.0),
    line("mug", 1, clip_r=0.5, iou=0.8, chamfer=0.02, silhouette_change=0.10, bumps=2.0),
)
OTHER = method(
    "other",
    line("mug", 0, clip_r=0.5, iou=0.9, chamfer=0.01, silhouette_change=0.20, bumps=4.0),
    line("mug", 1, clip_r=0.0, iou=0.9, chamfer=0.05, silhouette_change=0.20, bumps=4.0),
)


def test_means_stand_with_error_and_number():
    text = to_markdown(section(XBIND, OTHER))
    kinds, shapes = text.split("\n\n")[1:3]
    assert cells(kinds, "xbind") == ["0.750 ± 0.250 (2)"]
    assert cells(kinds, "other") == ["0.250 ± 0.250 (2)"]
    assert cells(shapes, "xbind")[1] == "0.850 ± 0.050 (2)"
    assert "| real objects |" not in text


def test_each_kind_of_prompt_has_its_columns():
    text = to_markdown(
        section(
            method(
                "a", line("mug", clip_r=1.0), line("bell", kind="audio", clip_r=0.5, arcc_self=0.6)
            )
        )
    )
    assert "(image)" not in text
    assert cells(text.split("\n\n")[1], "a") == ["1.000 (1)", "0.600 (1)", "0.500 (1)"]


def test_real_objects_are_averaged_over_the_prompts():
    real = {"mug": {"iou_real": 0.9}, "car": {"iou_real": 0.7}}
    text = to_markdown(
        section(method("a", line("mug", iou=0.5), line("car", iou=0.5, bumps=1.0)), real=real)
    )
    assert cells(text, "real objects") == ["0.800", "–"]


def test_differences_are_paired_by_prompt_and_seed():
    text = to_markdown(section(XBIND, OTHER, real={"mug": {"silhouette_change_real": 0.28}}))
    assert "Differences to xbind" in text
    assert "Seeds of one prompt count as pairs of their own." in text
    paired = column(text, "figure", "other")
    assert paired["CLIP-R, independent judge (higher)"] == "−0.500 ± 0.000 (2), 0 : 2"
    assert paired["silhouette IoU with the nearest real object (higher)"] == (
        "+0.050 ± 0.050 (2), 1 : 0"
    )
    assert paired["Chamfer distance to it (lower)"] == "+0.010 ± 0.020 (2), 1 : 1"
    # |0.20 − 0.28| = 0.08 against 0.02 and 0.18
    assert paired["silhouette change over a quarter turn (nearer)"] == "+0.000 ± 0.100 (2), 1 : 1"
    assert paired["bumps × 100 (mean 1 − cos across edges) (lower)"] == "+2.500 ± 0.500 (2), 0 : 2"


def test_a_pair_of_which_one_failed_has_no_difference_of_shape():
    failed = method("other", line("mug", 0, clip_r=0.0, failure="no surface"), OTHER.objects[1])
    text = to_markdown(section(XBIND, failed))
    paired = column(text, "figure", "other")
    assert paired["Chamfer distance to it (lower)"] == "+0.030 (1), 0 : 1"
    assert paired["CLIP-R, independent judge (higher)"].startswith("−0.750 ± 0.250 (2)")
    assert "; nothing came out of: mug (seed 0)." in text


def test_the_standard_error_is_that_of_the_differences():
    values = [(0.1, 0.4), (0.5, 0.6), (0.2, 0.8), (0.9, 0.9)]
    a = method("a", *(line(str(k), iou=x) for k, (x, _) in enumerate(values)))
    b = method("b", *(line(str(k), iou=y) for k, (_, y) in enumerate(values)))
    differences = [y - x for x, y in values]
    mean = sum(differences) / 4
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / 3 / 4)
    [cell] = column(to_markdown(section(a, b)), "figure", "b").values()
    assert cell == f"+{mean:.3f} ± {error:.3f} (4), 3 : 0"


def test_groups_are_told_apart_where_there_are_two():
    def made(label, seen, unseen):
        return method(label, line("mug", iou=seen, seen=True), line("bell", iou=unseen, seen=False))

    text = to_markdown(section(made("xbind", 0.9, 0.8), made("other", 0.7, 0.4)))
    assert cells(text, "xbind", "all") == ["0.850 ± 0.050 (2)"]
    assert cells(text, "xbind", "seen") == ["0.900 (1)"]
    assert cells(text, "xbind", "unseen") == ["0.800 (1)"]
    assert cells(text, "other", "unseen") == ["0.400 (1)"]
    assert "by xbind's 3D prior" in text


@pytest.mark.parametrize("seen", [(True, True), (None, None), (False, False), (None, True)])
def test_one_group_alone_has_no_table(seen):
    lines = [line(f"p{k}", iou=0.5, seen=one) for k, one in enumerate(seen)]
    assert "| categories |" not in to_markdown(section(method("xbind", *lines)))


def test_seconds_are_a_median_of_what_was_timed():
    timed = method("a", *(line(str(k), seconds=s) for k, s in enumerate([10, 90, 12, None])))
    text = to_markdown(section(timed, method("b", *(line(str(k), seconds=None) for k in range(4)))))
    assert cells(table(text, "method | seconds"), "a") == ["12 (3)", "2"]
    assert "| b | – |" not in text
    unknown = method("a", line("mug"), workers=[])
    assert cells(table(to_markdown(section(unknown)), "method | seconds"), "a") == [
        "10 (1)", "not known",
    ]  # fmt: skip


def test_the_papers_figures_stand_in_columns_of_their_own():
    ours = method("XBind", line("mug", clip_r=1.0), line("bell", kind="audio", clip_r=0.5))
    named = method("dreamfusion", *ours.objects)
    text = to_markdown(section(ours, named, method("ours", *ours.objects), paper="table-2"))
    own = table(text, "method | here: CLIP-R, independent judge")
    assert cells(own, "XBind") == ["0.750 ± 0.250 (2)", "0.8167"]
    assert cells(own, "dreamfusion") == ["0.750 ± 0.250 (2)", "0.6576"]
    assert "| ours |" not in own
    assert text.count("0.8167") == text.count("0.6576") == 1
    assert "Table II of the paper" in text
    assert "Table II" not in to_markdown(section(ours))


def test_table_1_of_the_paper_has_a_figure_for_each_kind():
    bell = line("bell", kind="audio", clip_r=0.5, arcc_self=0.25)
    ours = method("stablesds-3d", bell, line("duck", kind="image", clip_r=0.25, clip_i=0.75))
    own = table(
        to_markdown(section(ours, paper="table-1")), "method | here: CLIP-R, independent judge"
    )
    assert cells(own, "stablesds-3d") == [
        "0.375 ± 0.125 (2)", "0.5583", "0.750 (1)", "0.8176", "0.250 (1)", "0.4044",
    ]  # fmt: skip


def test_tables_of_the_paper_are_complete():
    for printed in PRINTED.values():
        assert all(len(row) == len(printed.columns) for row in printed.rows.values())
        assert max(printed.rows, key=lambda name: printed.rows[name][0]) == "XBind"
    order = sorted(PRINTED["table-2"].rows.items(), key=lambda item: item[1])
    assert [name for name, _ in order] == [
        "Fantasia3D", "Magic3D", "DreamFusion", "ProlificDreamer", "XBind",
    ]  # fmt: skip


def test_calibration_and_origin_stand_below():
    known = {"real": {"objects": 34, "clip_r": 0.99}, "blurred": {"objects": 34, "clip_r": 0.5}}
    several = method("a", line("mug"), commands=["one", "two"], prior_3d="narrow")
    text = to_markdown(section(several, calibration=known))
    assert cells(text, "real (34)") == ["0.990"]
    assert cells(text, "blurred (34)") == ["0.500"]
    assert (
        "- a: 3D prior narrow, seeds 0, 1, 1 objects, bundle 0123456789ab, commit abc. "
        "First of 2 commands: `one`" in text
    )


def test_a_label_cannot_end_a_cell():
    assert "| a \\| b |" in to_markdown(section(method("a | b", line("mug", clip_r=1.0))))
