"""Records of `xbind-bench` with round numbers."""

from xbind.bench.curves import LINEAR, CurveRow


def curve_row(last: float = 1.0) -> CurveRow:
    """Twice the views, twice the time; `last` is the exponent that it claims."""
    return CurveRow(
        phase="coarse", knob="views", unit="views", x=[1.0, 2.0], ms=[3.0, 6.0],
        peak_bytes=[None, 1], time_exponent=last, last_exponent=last, memory_exponent=None,
        is_linear=last <= LINEAR, clock="wall", threads=1, device="", versions="", commit="",
    )  # fmt: skip
