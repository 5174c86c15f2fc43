"""Presets by name."""

import pytest

from xbind.presets import PRESETS, UnknownPreset, preset_named


def test_unknown_preset_lists_the_known():
    with pytest.raises(UnknownPreset, match=", ".join(PRESETS)):
        preset_named("turbo")
