"""A run with a 2D prior for pictures of 128 px beside a 3D prior for 64 px."""

import math
import shutil

import pytest
from PIL import Image

from tests.support.large_prior import LARGE, write_checkpoints
from tests.support.run_files import config_of, events_of
from tests.support.watcher import Watcher
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.mini.train.assemble import assemble_only
from xbind.networks.manifest import SHIPPED
from xbind.pipeline import generate

pytestmark = pytest.mark.slow


def test_priors_of_two_sizes_make_an_object(tmp_path):
    write_checkpoints(tmp_path / "work", LARGE)
    shutil.copytree(SHIPPED / "mini", tmp_path / "bundle")
    assemble_only(tmp_path / "work", tmp_path / "bundle", "unclip")
    run = tmp_path / "run"
    generate(
        GenerateConfig(
            prompt=PromptConfig(text="a red mug"), out=run, preset="probe", engine="eager",
            bundle=str(tmp_path / "bundle"),
        ),
        Watcher(),
    )  # fmt: skip
    with Image.open(run / "reference.png") as picture:
        assert picture.size == (128, 128)
    assert (run / "mesh.glb").stat().st_size > 0
    terms = [value for row in events_of(run) for name, value in row.items()
             if name in ("planar", "stereo")]  # fmt: skip
    assert terms
    assert all(math.isfinite(value) for value in terms)
    assert config_of(run)["bundle"] == str(tmp_path / "bundle")
