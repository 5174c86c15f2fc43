"""Which device a run takes, and that everything a run makes is made there.

There is no GPU where this runs. But a tensor that is made without saying where would be on the CPU
there, and every such place can be found here.
"""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fake_gpu import pretend
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

import xbind
from xbind import engine, kernels
from xbind.algorithm.iteration import advance
from xbind.algorithm.phase1_nerf import CoarsePhase
from xbind.algorithm.supervision import Condition, Supervision, make_condition
from xbind.algorithm.surface_phase import geometry_phase, texture_phase
from xbind.algorithm.surface_start import convert
from xbind.algorithm.texture_init import fit_texture_field
from xbind.conditioning.prompt import encode_prompt
from xbind.config.options import PromptConfig
from xbind.config.presets import preset_named
from xbind.errors import XBindError
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.scene.nerf.field import HashField
from xbind.system.device import choose_device, without_tf32


class Homeless(TorchFunctionMode):
    """Notes where our code makes a tensor without naming its device, but for the CPU's kernels."""

    def __init__(self):
        super().__init__()
        self.places, self.makers = set(), _device_constructors()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in self.makers and (kwargs or {}).get("device") is None:
            code = sys._getframe(1).f_code
            path = Path(code.co_filename)
            is_ours = any(folder in path.parents for folder in OURS)
            if is_ours and not path.name.startswith(("cpu.", "cpu_")):
                self.places.add(f"{path.name}: {code.co_name}")
        return func(*args, **(kwargs or {}))


OURS = [Path(module.__file__).parent for module in (xbind, kernels, engine)]


def test_everything_of_a_run_is_made_on_its_device():
    bundle, method = load_bundle(load_manifest("mini")), preset_named("default")
    prompt = encode_prompt(PromptConfig(text="a red mug"), bundle.bind, 64, view=bundle.view)
    generator = torch.Generator().manual_seed(0)
    with Homeless() as found:
        few = replace(method.reference, candidates=2, steps=2)
        condition = make_condition(
            prompt, bundle, few, generator, agreement=replace(method.agreement, views=2, steps=2)
        )
        condition = Condition.from_state(condition.state())
        supervision = Supervision(bundle, condition)
        nerf = HashField(method.coarse.field, generator=generator)
        coarse = CoarsePhase(replace(method.coarse, steps=2), supervision, nerf)
        terms = [advance(coarse, 0, generator)]
        geometry = geometry_phase(
            replace(method.geometry, steps=2, close_share=1.0), supervision,
            convert(coarse.field, coarse.config.threshold, 16, method.geometry.conversion),
        )  # fmt: skip
        terms.append(advance(geometry, 0, generator))
        mesh = geometry.result()
        field = fit_texture_field(
            method.texture.field, method.texture.fit, coarse.field, mesh, generator
        )
        texture = texture_phase(replace(method.texture, steps=2), supervision, mesh, field)
        terms.append(advance(texture, 0, generator))
        pictures = [phase.preview() for phase in (coarse, geometry, texture)]
    assert all(set(t) >= {"planar", "stereo", "ms"} for t in terms)
    assert all(0 <= x.min() <= x.max() <= 1 for x in pictures)
    assert not found.places


@pytest.mark.parametrize(
    ("name", "found", "has_triton", "want"),
    [
        ("auto", True, True, "cuda"),
        ("auto", True, False, "cpu"),
        ("auto", False, True, "cpu"),
        ("cpu", True, True, "cpu"),
        ("cuda", True, True, "cuda"),
        ("cuda", True, False, "pip install triton"),
        ("cuda", False, True, "--device cpu"),
    ],
)
def test_device_is_what_is_there(name, found, has_triton, want, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object() if has_triton else None)
    if want in ("cpu", "cuda"):
        assert choose_device(name).type == want
    else:
        with pytest.raises(XBindError, match=want):
            choose_device(name)


def test_the_second_gpu_is_made_the_current_one(monkeypatch):
    """Triton, torch's streams and TensorRT compute on the thread's current device."""
    pretend(monkeypatch, (8, 9), "NVIDIA GeForce RTX 4090", count=2)
    current = []
    monkeypatch.setattr("torch.cuda.set_device", current.append)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)]
    assert choose_device("cuda") == torch.device("cuda")
    assert len(current) == 1
    with pytest.raises(XBindError, match=r"torch finds 2 CUDA devices.\nGive .*cuda:0 to cuda:1."):
        choose_device("cuda:2")


def test_tf32_is_off_while_asked_for_and_then_as_before():
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    assert any(before)  # else nothing is shown here
    with without_tf32():
        assert not any((products.allow_tf32, convolutions.allow_tf32))
    assert (products.allow_tf32, convolutions.allow_tf32) == before
