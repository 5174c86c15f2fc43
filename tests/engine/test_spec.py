"""Signatures: what fits passes, what does not is named."""

import pytest
import torch

from xbind.engine.errors import FeedError
from xbind.engine.spec import GraphSpec, TensorSpec

SPEC = GraphSpec(
    "step",
    (TensorSpec("image", "float32", (1, 3, 4, 4)), TensorSpec("t", "int64", (1,))),
    (TensorSpec("loss", "float32", ()),),
)


def feeds(**changes):
    return {"image": torch.zeros(1, 3, 4, 4), "t": torch.zeros(1, dtype=torch.long)} | changes


def test_what_fits_passes():
    SPEC.check(feeds())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": torch.zeros(2, 3, 4, 4)}, r"'image' as float32 \[1, 3, 4, 4\], got .*\[2, 3, 4"),
        ({"image": torch.zeros(1, 3, 4, 4).double()}, "'image' as float32"),
        ({"t": torch.zeros(1)}, r"'t' as int64 \[1\], got float32"),
        ({"extra": torch.zeros(1)}, r"takes \['image', 't'\], got \['extra', 'image', 't'\]"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(FeedError, match=message):
        SPEC.check(feeds(**changes))


def test_a_missing_feed_is_named():
    with pytest.raises(FeedError, match=r"got \['t'\]"):
        SPEC.check({"t": torch.zeros(1, dtype=torch.long)})


def test_reads_back_what_it_wrote():
    assert GraphSpec.from_dict(SPEC.to_dict()) == SPEC
