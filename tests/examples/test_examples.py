"""The examples run as they are printed, and show what they say."""

import dataclasses
import importlib.util
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
import tyro
from PIL import Image

import xbind
from xbind.config.options import MODALITIES, FilesConfig, GenerateConfig, PromptConfig
from xbind.run.arguments import GenerateOptions

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
GUIDE = ROOT / "docs" / "guide" / "library.md"


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_says_how_it_is_called(path, capsys):
    assert f"    python examples/{path.name}" in path.read_text(encoding="utf-8")
    with pytest.raises(SystemExit) as leaving:
        tyro.cli(example(path.stem).main, args=["--help"])
    assert leaving.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_generate_writes_what_it_says(tmp_path, capsys):
    out = tmp_path / "mug"
    example("generate").main("a red mug", out=out, preset="probe")
    solid = trimesh.load(out / "object.stl")
    assert solid.is_watertight
    with Image.open(out / "views.png") as sheet:
        assert sheet.size == (512, 128)
    said = capsys.readouterr().out
    assert "6 steps" in said
    assert f"{len(solid.faces)} faces" in said
    assert "texture   ms" in said


def test_the_loss_of_ones_own_takes_effect():
    without, with_loss = example("own_loss").main(steps=15)
    assert with_loss < without / 4


def test_the_mirror_loss_is_zero_for_a_symmetric_field_only():
    own_loss = example("own_loss")

    class Field:
        config = type("Config", (), {"radius": 1.0})

        def __init__(self, shift):
            self.shift = shift

        def density(self, points):
            return torch.exp(-20 * (points[:, 1] - self.shift) ** 2)

    values = [own_loss.mirror_loss(Field(s), torch.Generator().manual_seed(0)) for s in (0, 0.9)]
    assert values[0] == 0
    assert values[1] > 0.9


def test_the_kernel_is_its_reference():
    kernel = example("own_kernel")
    assert max(kernel.compare(64, 33).values()) < 1e-5
    w, t, d = (torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[1.0, 3.0]]))
    # 2 · 1 · 2 · |0 − 3| + (1 · 1 + 4 · 3) / 3
    np.testing.assert_allclose(kernel.distortion(w, t, d), [12 + 13 / 3], rtol=1e-6)
    np.testing.assert_allclose(kernel.distortion_reference(w, t, d), [12 + 13 / 3], rtol=1e-6)


def test_the_step_is_compiled_compared_and_used():
    figures, losses = example("compile_a_step").main(steps=6)
    assert {figure.output for figure in figures} == {"loss", "x_bar"}
    assert max(figure.relative for figure in figures) < 1e-4
    assert losses[-1] < losses[0] / 2


def test_the_guide_names_what_there_is():
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        compile(block, str(GUIDE), "exec")
    for name in re.findall(r"xbind\.([A-Za-z]\w*)", text):
        assert hasattr(xbind, name), name
    for name in re.findall(r"run\.([a-z]\w*)", text):
        assert hasattr(xbind.Run, name) or name in inspect.getsource(xbind.Run.__init__), name
    call = set(inspect.signature(xbind.Pipeline.__call__).parameters) - {"self", "options"}
    keywords = set(GenerateOptions.__optional_keys__) | call
    assert {name for name in keywords if f"`{name}`" not in text} == set()
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (GUIDE.parent / link).is_file(), link


def test_generate_takes_what_the_pipeline_takes():
    """The function and the method spell their arguments out for editors: they agree."""
    call = inspect.signature(xbind.Pipeline.__call__).parameters
    function = inspect.signature(xbind.generate).parameters
    shared = [name for name in call if name not in ("self", "options")]
    assert [name for name in function if name not in ("bundle", "options")] == shared
    assert all(str(function[name]) == str(call[name]) for name in shared)
    options = set(GenerateOptions.__optional_keys__)
    fields = {f.name for c in (GenerateConfig, PromptConfig, FilesConfig)
              for f in dataclasses.fields(c)}  # fmt: skip
    weights = {f"{modality}_weight" for modality in MODALITIES}
    left_out = {"prompt", "files", "resume", "bundle", *weights}
    assert options | set(shared) - {"mix", "on_step", "progress"} == fields - left_out
