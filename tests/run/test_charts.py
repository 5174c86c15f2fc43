"""Points of the loss curves."""

import math

import pytest

from xbind.run.charts import MAX_POINTS, read_curves


def rows(values, phase="coarse", term="ms"):
    return [{"phase": phase, "step": k, term: v} for k, v in enumerate(values, 1)]


def test_a_curve_spans_the_chart():
    (curve,) = read_curves(rows([-0.1, -0.2, -0.3]))
    assert curve.raw == "0.0,4.0 120.0,45.0 240.0,86.0"  # downwards
    assert (curve.low, curve.high, curve.last) == (-0.3, -0.1, -0.3)


def test_the_smooth_curve_follows_slowly():
    (curve,) = read_curves(rows([0.0, 1.0, 1.0]))
    heights = [float(point.split(",")[1]) for point in curve.smooth.split()]
    assert heights == pytest.approx([86, 86 - 82 * 0.1, 86 - 82 * 0.19], abs=0.051)


def test_what_is_no_finite_number_is_left_out():
    events = [*rows(["nan", math.inf, 1.0, 2.0]), {"note": 3}, {"phase": "coarse", "ms": 1.0}]
    (curve,) = read_curves(events)
    assert len(curve.raw.split()) == 2
    assert read_curves(rows(["nan"])) == []


def test_terms_are_kept_apart_by_phase_and_in_order():
    curves = read_curves(rows([1.0]) + rows([1.0], "geometry") + rows([1.0], "geometry", "nc"))
    assert [(c.phase, c.term) for c in curves] == [
        ("coarse", "ms"), ("geometry", "ms"), ("geometry", "nc"),
    ]  # fmt: skip
    assert curves[0].raw == "0.0,86.0"  # a single value


def test_long_curves_are_thinned_and_keep_their_ends():
    (curve,) = read_curves(rows([float(k) for k in range(10_000)]))
    points = curve.raw.split()
    assert len(points) <= MAX_POINTS + 1
    assert (points[0], points[-1]) == ("0.0,86.0", "240.0,4.0")
