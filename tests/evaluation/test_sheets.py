"""Contact sheets: a row for each run, or for each prompt with a block for each method."""

import json

import numpy as np
import torch
from PIL import Image

from tests.support.spheres import sphere
from xbind.evaluation.sheets import (
    HEAD_PX,
    LABEL_PX,
    VIEW_PX,
    label,
    save_comparison,
    save_rows,
)
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import write_glb
from xbind.scene.mesh.mesh import Mesh

COLOURS = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]


def run_in(folder, colour):
    folder.mkdir()
    prompt = {"text": "a ball", "image": None, "audio": None, "depth": None}
    (folder / "config.json").write_text(json.dumps({"prompt": prompt}))
    Image.new("RGB", (64, 64), "gray").save(folder / "reference.png")
    unwrapped = unwrap(Mesh(*sphere(2, 0.5)), 64)
    texture = bake(unwrapped, lambda x: torch.tensor(colour).expand(len(x), 3), 64)
    write_glb(folder / "mesh.glb", unwrapped, texture)
    return folder


def runs(tmp_path):
    return [run_in(tmp_path / str(k), colour) for k, colour in enumerate(COLOURS)]


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_runs_stand_below_each_other_then_beside(tmp_path):
    made = runs(tmp_path)
    (made[1] / "reference.png").unlink()  # of a method without the 3D prior
    save_rows(tmp_path / "sheet.png", made)
    seen = pixels(tmp_path / "sheet.png")
    width = LABEL_PX + 5 * VIEW_PX
    assert seen.shape == (2 * VIEW_PX, 2 * width, 3)
    middle = VIEW_PX // 2
    for k, (x, y) in enumerate([(0, 0), (0, VIEW_PX), (width, 0)]):
        assert (seen[y + middle, x + LABEL_PX + middle] == (255 if k == 1 else 128)).all()
        for view in range(1, 5):
            shown = seen[y + middle, x + LABEL_PX + view * VIEW_PX + middle]
            assert np.abs(shown - 255 * np.array(COLOURS[k])).max() <= 1
        assert (seen[y : y + VIEW_PX, x : x + LABEL_PX] < 128).any()  # words
    assert (seen[VIEW_PX:, width:] == 255).all()


def test_one_run_takes_one_column(tmp_path):
    save_rows(tmp_path / "sheet.png", runs(tmp_path)[:1])
    assert pixels(tmp_path / "sheet.png").shape == (VIEW_PX, LABEL_PX + 5 * VIEW_PX, 3)


def test_methods_stand_beside_each_other(tmp_path):
    red, green, blue = runs(tmp_path)
    rows = [[red, green], [blue, red]]
    save_comparison(tmp_path / "sheet.png", ["one", "two"], rows, views=2)
    seen = pixels(tmp_path / "sheet.png")
    assert seen.shape == (HEAD_PX + 2 * VIEW_PX, LABEL_PX + 4 * VIEW_PX, 3)
    for i, colours in enumerate([(0, 0, 1, 1), (2, 2, 0, 0)]):
        for j, k in enumerate(colours):
            y = HEAD_PX + i * VIEW_PX + VIEW_PX // 2
            shown = seen[y, LABEL_PX + j * VIEW_PX + VIEW_PX // 2]
            assert np.abs(shown - 255 * np.array(COLOURS[k])).max() <= 1
    assert (seen[:HEAD_PX, LABEL_PX : LABEL_PX + VIEW_PX] < 128).any()


def test_normals_stand_beside_the_colours(tmp_path):
    red, *_ = runs(tmp_path)
    save_comparison(tmp_path / "sheet.png", ["one"], [[red]], views=1, normals=True)
    seen = pixels(tmp_path / "sheet.png")
    assert seen.shape[1] == LABEL_PX + 2 * VIEW_PX
    towards = seen[HEAD_PX + VIEW_PX // 2, LABEL_PX + VIEW_PX + VIEW_PX // 2] / 127.5 - 1
    azimuth, elevation = np.deg2rad([40, 15])
    eye = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth),
           np.sin(elevation)]  # fmt: skip
    assert np.abs(towards - eye).max() < 0.1


def test_label_names_files_without_their_folders():
    prompt = {"text": "something blue", "image": None, "audio": "/a/b/bell.wav", "depth": None}
    assert label(prompt) == "“something blue”\naudio:\nbell"
    assert label({"text": None, "video": "/a/turn.gif", "imu": "/b/walk.npy"}) == (
        "video:\nturn\nimu:\nwalk"
    )
