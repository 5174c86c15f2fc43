"""Device and precision of a run, as a user gives them."""

import json
from dataclasses import replace

import pytest

from xbind.config.options import GenerateConfig, PromptConfig, check_device, precision_for
from xbind.run import resuming
from xbind.run.checks import CONFIG, RunError
from xbind.run.resuming import read_started, with_precision

MUG = PromptConfig(text="a red mug")


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:12"])
def test_devices_have_names(name):
    check_device(name)
    assert GenerateConfig(prompt=MUG, device=name).device == name


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cuda:1 ", "CUDA", "cpu:0", ""])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="--device wants auto, cpu, cuda, or cuda:1"):
        GenerateConfig(prompt=MUG, device=name)


def test_auto_is_float16_on_cuda_and_float32_on_a_cpu():
    assert GenerateConfig(prompt=MUG).precision == "auto"
    assert (precision_for("auto", "cuda"), precision_for("auto", "cpu")) == ("float16", "float32")
    assert precision_for("float32", "cuda") == "float32"
    assert precision_for("bfloat16", "cpu") == "bfloat16"


def test_eager_torch_in_half_on_a_cpu_is_refused():
    slow = GenerateConfig(prompt=MUG, engine="eager", device="cpu")
    with pytest.raises(ValueError, match="--precision float16 is for engines and for CUDA"):
        replace(slow, precision="float16")


def started(folder, **settings):
    """A folder with the settings of a run that was started before."""
    plain = {"prompt": {"text": "a red mug"}, "without": [], "files": {}, "engine": "auto",
             "device": "cpu", "seed": 0, "preset": "default", "bundle": "mini"}  # fmt: skip
    plain |= {
        "method": {},
        "threads": 1,
        "bundle_sha256": "",
        "bundle_figures": {},
        "versions": {},
        "changes": {},
    }
    content = dict.fromkeys(resuming._NEEDED) | plain | settings
    (folder / CONFIG).write_text(json.dumps(content))


def test_a_run_that_was_started_in_no_precision_is_damaged(tmp_path):
    started(tmp_path, precision="float13")
    with pytest.raises(RunError, match="its precision is 'float13'"):
        read_started(tmp_path)


def test_a_resumed_run_keeps_the_precision_that_it_was_started_in(tmp_path):
    """A run of before float16 was the default on CUDA goes on in float32 there."""
    started(tmp_path, precision="float32")
    resumed = GenerateConfig(prompt=PromptConfig(), out=tmp_path, resume=True)
    assert with_precision(resumed, "cuda").precision == "float32"
    assert with_precision(replace(resumed, precision="float16"), "cuda").precision == "float16"
    assert with_precision(GenerateConfig(prompt=MUG), "cuda").precision == "float16"
