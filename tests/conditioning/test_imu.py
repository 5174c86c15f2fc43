"""Recordings of motion."""

import numpy as np
import pytest
import torch

from xbind.conditioning.errors import PromptError
from xbind.conditioning.imu import load_motion


def waves(n):
    """Six lines of different slope: linear interpolation reproduces them at any step."""
    return np.linspace(0, 1, n)[:, None] * np.arange(1, 7) - 2


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "named.csv", "blanks.txt", "rows.npy"])
def test_every_form_gives_the_same_channels(tmp_path, name):
    path, values = tmp_path / name, waves(500)
    if path.suffix == ".npy":
        np.save(path, values.T if name == "rows.npy" else values)
    else:
        header = "ax,ay,az,gx,gy,gz" if name == "named.csv" else ""
        delimiter = " " if name == "blanks.txt" else ","
        np.savetxt(path, values, delimiter=delimiter, header=header, comments="")
    got = load_motion(path, 2000)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, torch.from_numpy(waves(2000).T).float())


def save(path, values):
    np.save(path, values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b"\x93NUMPY"), "cannot be read as numbers"),
        (lambda p: p.write_bytes(b""), "cannot be read as numbers"),
        (lambda p: save(p, np.zeros((100, 5))), r"has the shape \(100, 5\)"),
        (lambda p: save(p, waves(4)), "has 4 samples"),
        (lambda p: save(p, np.full((100, 6), np.nan)), "not finite"),
        (lambda p: save(p, np.ones((100, 6))), "never changes"),
        (lambda p: save(p, np.full((100, 6), "x")), "holds <U1 values"),
        (lambda p: save(p, np.full((100, 6), object())), "cannot be read as numbers"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, make, message):
    path = tmp_path / "a.npy"
    make(path)
    with pytest.raises(PromptError, match=message) as refusal:
        load_motion(path, 2000)
    assert f"--imu {path}" in str(refusal.value)


def test_a_ragged_table_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2,3,4,5,6\n1,2\n")
    with pytest.raises(PromptError, match="cannot be read as numbers"):
        load_motion(path, 2000)
