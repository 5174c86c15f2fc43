import json
import sys

import numpy as np
import pytest

from xbind.mini.world import dataset
from xbind.mini.world.categories import CATEGORIES
from xbind.mini.world.dataset import (
    HELD_OUT_SEED,
    SplitConfig,
    draw_cameras,
    load_split,
    make_object,
    write_split,
)
from xbind.mini.world.draw import draw_from_seed


def rendered(folder, count, **config):
    """The arrays of a split that is written into `folder`."""
    write_split(folder, count, SplitConfig(**config))
    return load_split(folder)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return rendered(tmp_path_factory.mktemp("split"), 5, views=3, seed=7, size=16)


def test_shapes_and_types(split):
    shapes = {name: (array.shape, array.dtype.name) for name, array in split.items()}
    assert shapes == {
        "rgba": ((5, 3, 16, 16, 4), "uint8"),
        "normals": ((5, 3, 16, 16, 3), "uint8"),
        "depth": ((5, 3, 16, 16), "float16"),
        "pose": ((5, 3, 4), "float32"),
        "labels": ((5, 2), "int64"),
        "adjective": ((5,), "int8"),
    }
    assert (split["labels"][:, 0] == np.arange(5)).all()
    assert (split["rgba"][..., 3].max((2, 3)) == 255).all()


def test_an_object_does_not_depend_on_the_split_around_it(tmp_path, split, monkeypatch):
    monkeypatch.setattr(dataset, "CHUNK", 2)
    part = rendered(tmp_path, 3, views=3, seed=7, size=16, normals=False, depth=False)
    assert set(part) == {"rgba", "pose", "labels", "adjective"}
    for name, array in part.items():
        np.testing.assert_array_equal(array, split[name][:3])


def test_held_out_objects_are_other_objects():
    def objects(seed):
        return (make_object(index, seed) for index in range(len(CATEGORIES)))

    def outlines(seed):
        return {mesh.vertices.tobytes() for mesh in objects(seed)}

    training, other, held_out = (outlines(seed) for seed in (0, 1, HELD_OUT_SEED))
    assert len(training | other | held_out) == 3 * len(CATEGORIES)


def test_streams_of_neighbouring_seeds_are_unrelated():
    draws = [draw_from_seed(a, b, 0).uniform(0, 1) for a in range(16) for b in range(16)]
    assert len(set(draws)) == 256
    assert abs(np.mean(draws) - 0.5) < 0.06
    assert draw_from_seed(0, 1).uniform(0, 1) != draw_from_seed(1, 0).uniform(0, 1)


def test_cameras_come_from_the_two_ranges():
    views = draw_cameras(draw_from_seed(0), 2000, 0.2)
    close = views.distance < 2.1
    assert 0.16 < close.float().mean() < 0.24
    assert (views.fov_y_deg[~close] == 40).all()
    assert (views.distance[~close] == 2.5).all()
    ranges = {
        "elevation_deg": ((-45, 45), (-10, 45)),
        "azimuth_deg": ((-180, 180), (-180, 180)),
        "distance": ((2.5, 2.5), (1.5, 2.0)),
        "fov_y_deg": ((40, 40), (30, 45)),
    }
    for name, bounds in ranges.items():
        for group, (low, high) in zip((~close, close), bounds, strict=True):
            drawn = getattr(views, name)[group]
            slack = 0.06 * (high - low)
            assert low <= drawn.min() <= low + slack
            assert high - slack <= drawn.max() <= high


def test_command_writes_arrays_that_can_be_mapped(tmp_path, monkeypatch):
    arguments = ["--objects", "2", "--views", "1", "--seed", str(HELD_OUT_SEED), "--size", "16"]
    monkeypatch.setattr(sys, "argv", ["dataset", "--out", str(tmp_path / "split"), *arguments])
    dataset.main()
    loaded = load_split(tmp_path / "split")
    expected = rendered(tmp_path / "expected", 2, views=1, seed=HELD_OUT_SEED, size=16)
    assert set(loaded) == set(expected)
    for name, array in expected.items():
        assert isinstance(loaded[name], np.memmap)
        np.testing.assert_array_equal(loaded[name], array)
    manifest = json.loads((tmp_path / "split" / "manifest.json").read_text())
    assert manifest["held_out"] is True
    assert manifest["categories"] == list(CATEGORIES)


def test_workers_write_what_one_process_renders(tmp_path, monkeypatch, split):
    monkeypatch.setattr(dataset, "CHUNK", 2)
    (tmp_path / "rgba.npy").write_bytes(b"of a run that was killed")
    write_split(tmp_path, 5, SplitConfig(views=3, seed=7, size=16), workers=2)
    loaded = load_split(tmp_path)
    assert set(loaded) == set(split)
    for name, array in split.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_a_split_that_was_not_finished_is_none(tmp_path, monkeypatch):
    config = SplitConfig(views=1, size=16)
    write_split(tmp_path, 1, config)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_write_range", killed)
    with pytest.raises(KeyboardInterrupt):
        write_split(tmp_path, 2, config)
    assert not (tmp_path / "manifest.json").exists()


def test_near_misses_are_wrong_objects_of_every_category_in_turn(tmp_path):
    config = {"views": 1, "seed": 5, "normals": False, "depth": False}
    right = rendered(tmp_path / "right", 34, **config)
    wrong = rendered(tmp_path / "wrong", 34, **config, near_misses=True)
    assert (wrong["labels"][:, 0] == right["labels"][:, 0]).all()
    assert (wrong["pose"] == right["pose"]).all()
    differs = (wrong["rgba"] != right["rgba"]).any((1, 2, 3, 4))
    assert differs.all()
    again = rendered(tmp_path / "again", 34, **config, near_misses=True)
    assert (again["rgba"] == wrong["rgba"]).all()
