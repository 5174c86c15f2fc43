"""The report in a browser: the mesh is loaded and seen, and nothing is asked for elsewhere."""

import json
import time

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.chromium import Chromium, find_chromium
from tests.support.finished_runs import config, write_mesh
from xbind.run.report import MeshFacts, write_report
from xbind.scene.mesh.turntable import write_turntable

COLOUR = (200, 60, 30)
SETTLED = """new Promise((done) => {
  const viewer = document.querySelector("model-viewer");
  const wait = () => viewer.loaded ? done("loaded") : setTimeout(wait, 50);
  viewer.addEventListener("error", (event) => done(JSON.stringify(event.detail)));
  wait();
})"""
MIDDLE = """(() => {
  const box = document.querySelector("model-viewer").getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""


def seen(browser, path):
    """The colour in the middle of the viewer, once it has drawn something there."""
    x, y = browser.evaluate(MIDDLE)
    ends = time.monotonic() + 60
    while True:
        browser.screenshot(path)
        with Image.open(path) as shot:
            colour = np.array(shot.convert("RGB"), int)[int(y), int(x)]
        if np.ptp(colour) > 50 or time.monotonic() > ends:  # the panel is grey
            return colour
        time.sleep(0.2)


@pytest.fixture
def folder(tmp_path):
    """A run whose mesh has one colour."""
    tone = torch.tensor(COLOUR) / 255
    write_mesh(tmp_path / "mesh.glb", colour_at=lambda x: tone.expand(len(x), 3))
    frames = torch.full((4, 32, 64, 3), 200, dtype=torch.uint8)
    write_turntable(tmp_path / "turntable.gif", frames)
    write_turntable(tmp_path / "turntable.mp4", frames)
    Image.new("RGB", (64, 64), COLOUR).save(tmp_path / "reference.png")
    rows = [{"phase": "coarse", "step": k, "ms": -k / 10} for k in range(1, 9)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = MeshFacts(vertices=1, faces=2, volume=0.25, texture_px=128)
    write_report(tmp_path, config(), {"coarse": 1.0}, facts, 1)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium")
def test_the_mesh_is_shown_and_no_request_leaves(folder):
    alone = folder / "elsewhere" / "report.html"  # without the files beside it
    alone.parent.mkdir()
    alone.write_bytes((folder / "report.html").read_bytes())
    with Chromium(find_chromium()) as browser:
        browser.open(alone)
        assert browser.evaluate(SETTLED, timeout=120) == "loaded"
        colour = seen(browser, folder / "report.png")  # kept, to look at
        hidden = "[...document.querySelectorAll('#viewer-state, #download')].map((x) => x.hidden)"
        assert browser.evaluate(hidden) == [True, False]
        size = "fetch(document.getElementById('download').href).then((r) => r.blob())"
        assert (
            browser.evaluate(f"{size}.then((b) => b.size)") == (folder / "mesh.glb").stat().st_size
        )
        (page, *others) = browser.requests()
        complaints = [x for x in browser.complaints() if "rAF timed out" not in x]
    assert page == alone.resolve().as_uri()
    assert {url.partition(":")[0] for url in others} <= {"data", "blob"}
    assert complaints == []
    np.testing.assert_allclose(colour, COLOUR, atol=3)  # unlit, and no tone mapping
