"""The sheet: a row for each run, in columns, with what was given written beside it."""

import json

import numpy as np
import torch
from PIL import Image

from tests.support.spheres import sphere
from xbind.mesh.files import bake, unwrap, write_glb
from xbind.mesh.mesh import Mesh
from xbind.mini.contact_sheet import LABEL_PX, VIEW_PX, label, main


def run_in(folder, colour):
    folder.mkdir()
    prompt = {"text": "a ball", "image": None, "audio": None, "depth": None}
    (folder / "config.json").write_text(json.dumps({"prompt": prompt}))
    Image.new("RGB", (64, 64), "gray").save(folder / "reference.png")
    unwrapped = unwrap(Mesh(*sphere(2, 0.5)), 64)
    texture = bake(unwrapped, lambda x: torch.tensor(colour).expand(len(x), 3), 64)
    write_glb(folder / "mesh.glb", unwrapped, texture)
    return folder


def test_runs_stand_below_each_other_then_beside(tmp_path):
    colours = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    runs = [run_in(tmp_path / str(k), colour) for k, colour in enumerate(colours)]
    main([str(tmp_path / "sheet.png"), *map(str, runs)])
    with Image.open(tmp_path / "sheet.png") as picture:
        pixels = np.asarray(picture)
    width = LABEL_PX + 5 * VIEW_PX
    assert pixels.shape == (2 * VIEW_PX, 2 * width, 3)
    middle = VIEW_PX // 2
    for k, (x, y) in enumerate([(0, 0), (0, VIEW_PX), (width, 0)]):
        assert (pixels[y + middle, x + LABEL_PX + middle] == 128).all()
        for view in range(1, 5):
            shown = pixels[y + middle, x + LABEL_PX + view * VIEW_PX + middle]
            assert np.abs(shown - 255 * np.array(colours[k])).max() <= 1
        assert (pixels[y : y + VIEW_PX, x : x + LABEL_PX] < 128).any()  # words
    assert (pixels[VIEW_PX:, width:] == 255).all()


def test_label_names_files_without_their_folders():
    prompt = {"text": "something blue", "image": None, "audio": "/a/b/bell.wav", "depth": None}
    assert label(prompt) == "“something blue”\naudio:\nbell"
