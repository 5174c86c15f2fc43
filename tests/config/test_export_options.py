"""Lengths with units, and formats by their endings."""

import pytest

from xbind.config.export import FORMATS, check_export, format_of, metres


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("80mm", 0.08),
        ("8 cm", 0.08),
        ("0.08", 0.08),
        ("2m", 2.0),
        (" 3in ", 0.0762),
        ("1e2mm", 0.1),
    ],
)
def test_lengths_are_read_in_metres(text, length):
    assert metres(text) == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("text", ["", "mm", "8km", "1.2.3m", "-1m", "0mm", "nan", "1e999m"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(ValueError, match="such as 80mm"):
        metres(text)


def test_formats_are_known_by_their_endings_in_any_case():
    assert format_of("a.b.GLB") == "glb"
    assert [format_of(f"x.{name}") for name in FORMATS] == list(FORMATS)
    with pytest.raises(ValueError, match="does not end in a mesh format"):
        format_of("glb")


def test_only_textured_formats_have_a_material():
    for name, traits in FORMATS.items():
        assert traits.material == (traits.colours == "texture")
        assert check_export(name) is traits
