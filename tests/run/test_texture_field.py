"""The colour field is found in the checkpoint of whatever stage trained it last."""

import pytest
import torch
from torch import nn

from tests.support.finished_runs import config, field_colours
from xbind.run.folder import start_run
from xbind.run.texture_field import read_texture_field

POINTS = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5


def run_with(folder, *, colour=False, **phases):
    """A run whose checkpoint holds these modules by stage."""
    settings = config()
    settings["method"]["geometry"]["colour"] = colour
    states = {name: {"module": module.state_dict()} for name, module in phases.items()}
    with start_run(folder, settings) as run:
        run.save_checkpoint(360, {"phases": states})
    return folder


@pytest.mark.parametrize("stage", ["texture", "geometry"])
def test_the_field_may_have_been_trained_with_other_parts(tmp_path, stage):
    """With the shape in the geometry stage; with a background or an estimator in the other."""
    field, colours = field_colours()
    together = nn.ModuleDict({"shape": nn.Linear(2, 2), "field": field, "background": nn.ReLU()})
    run = run_with(tmp_path / "run", colour=True, **{stage: together})
    found = read_texture_field(run)
    assert torch.equal(found.base_at(POINTS), colours(POINTS))


def test_the_texture_stage_goes_before_the_geometry_stage(tmp_path):
    field, colours = field_colours()
    other, _ = field_colours()
    with torch.no_grad():
        other.table.mul_(0)
    first = nn.ModuleDict({"shape": nn.Linear(2, 2), "field": other})
    run = run_with(tmp_path / "run", colour=True, geometry=first, texture=field)
    assert torch.equal(read_texture_field(run).base_at(POINTS), colours(POINTS))


def test_geometry_without_colours_has_no_field(tmp_path):
    assert read_texture_field(run_with(tmp_path / "run", geometry=nn.Linear(2, 2))) is None
