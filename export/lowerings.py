"""Every aten operation that a graph can hold, and how it says it.

An operation that is not here is an error that names it; `tests/export/test_lowerings.py` compares
each one with torch, and lists what the steps of the mini bundle need.
"""

from typing import Any

from xbind.export import lower_attention, lower_linear, lower_norm, lower_pointwise, lower_shape
from xbind.export.lower_pointwise import Lowering

LOWERINGS: dict[Any, Lowering] = {
    **lower_pointwise.LOWERINGS,
    **lower_shape.LOWERINGS,
    **lower_linear.LOWERINGS,
    **lower_norm.LOWERINGS,
    **lower_attention.LOWERINGS,
}
"""aten operation → how a graph says it."""
