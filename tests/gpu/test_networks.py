"""Guidance steps on a real device: the CPU's numbers, and the same ones when they are replayed.

In float32, and in float16 as a run has them: networks in half, channels last, fused norms.
"""

import pytest
import torch

from xbind.engine.cuda_graph import Recorder
from xbind.export.parity import TOLERANCES, measure
from xbind.models.channels_last import FusedGroupNorm
from xbind.networks.graphs import GraphRequest, eager_steps, sample_inputs, steps_of
from xbind.networks.layout import use_channels_last
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.precision import in_precision

CUDA = torch.device("cuda")
STEPS = steps_of(load_manifest("mini"))


@pytest.fixture(scope="module")
def manifest():
    return load_manifest("mini")


@pytest.fixture(scope="module")
def steps(manifest):
    """On the CPU, on CUDA, and as CUDA graphs."""
    torch.backends.cudnn.allow_tf32 = False
    there = load_bundle(manifest).to(CUDA)
    graphs = eager_steps(there, recorder=Recorder())
    return eager_steps(load_bundle(manifest)), eager_steps(there), graphs


@pytest.fixture(scope="module")
def half_steps(manifest):
    """On the CPU in float32, on CUDA in float16, and as CUDA graphs."""
    there = in_precision(load_bundle(manifest), "float16").to(CUDA)
    use_channels_last(there)
    assert any(isinstance(layer, FusedGroupNorm) for layer in there.unclip.vae.modules())
    graphs = eager_steps(there, recorder=Recorder())
    return eager_steps(load_bundle(manifest)), eager_steps(there), graphs


def feeds_of(manifest, name, seed):
    batch = 5 if name == "ms" else 2
    generator = torch.Generator().manual_seed(seed)
    return sample_inputs(load_bundle(manifest), GraphRequest(name, batch, 64), 0.5, generator)


@pytest.mark.parametrize("name", STEPS)
def test_loss_and_gradient_are_the_cpus(name, manifest, steps):
    feeds = feeds_of(manifest, name, 0)
    on_cpu, on_cuda = steps[0](name), steps[1](name)
    want = run(on_cpu, feeds)
    got = run(on_cuda, {k: x.to(CUDA) for k, x in feeds.items()})
    for a, b in zip(got, want, strict=True):
        a = a.cpu()
        assert torch.linalg.vector_norm(a - b) <= 2e-3 * torch.linalg.vector_norm(b)


@pytest.mark.parametrize("name", STEPS)
def test_a_replay_is_what_eager_torch_computes(name, manifest, steps):
    for seed in (1, 2):  # recorded, then replayed with other numbers
        feeds = {k: x.to(CUDA) for k, x in feeds_of(manifest, name, seed).items()}
        for a, b in zip(run(steps[2](name), feeds), run(steps[1](name), feeds), strict=True):
            assert torch.linalg.vector_norm(a - b) <= 1e-4 * torch.linalg.vector_norm(b)


@pytest.mark.parametrize("name", STEPS)
def test_float16_is_within_the_tolerances_of_engines(name, manifest, half_steps):
    on_cpu, on_cuda = half_steps[0](name), half_steps[1](name)

    def reference(feeds):
        return dict(zip(on_cpu.outputs, run(on_cpu, feeds), strict=True))

    def candidate(feeds):
        outputs = run(on_cuda, {k: x.to(CUDA) for k, x in feeds.items()})
        return {k: x.cpu() for k, x in zip(on_cuda.outputs, outputs, strict=True)}

    figures = measure(reference, candidate, [feeds_of(manifest, name, seed) for seed in (3, 4)])
    assert all(figure.passes(TOLERANCES["float16"]) for figure in figures), figures


@pytest.mark.parametrize("name", STEPS)
def test_a_replay_in_float16_is_what_eager_torch_computes(name, manifest, half_steps):
    """cuDNN may take other kernels for the recording, so they differ by roundings of float16."""
    for seed in (1, 2):
        feeds = {k: x.to(CUDA) for k, x in feeds_of(manifest, name, seed).items()}
        got, want = (run(steps(name), feeds) for steps in (half_steps[2], half_steps[1]))
        for a, b in zip(got, want, strict=True):
            assert torch.linalg.vector_norm(a - b) <= 1e-2 * torch.linalg.vector_norm(b)


def run(step, feeds):
    first, *others = step.inputs
    return step(feeds[first], **{name: feeds[name] for name in others})
