"""The model of a GPU against arithmetic by hand, on work and a card with round numbers."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from xbind.bench.contestants import BenchError
from xbind.bench.counted import StepWork, counted_bundle
from xbind.bench.gpus import GPUS, Gpu, gpu_named
from xbind.bench.ops import Op, OpCounter
from xbind.bench.project_rows import ProjectionRow, iterations_share, with_share_of_steps
from xbind.bench.projection import Assumptions, half_bytes, project, step_seconds
from xbind.bench.show import projection_cells
from xbind.config.presets import fast, paper
from xbind.importing.architectures import reduced
from xbind.importing.random_weights import make_random_bundle
from xbind.networks.graphs import GraphRequest, make_module
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.sample_inputs import trial_feeds

CARD = Gpu("round", 100e12, 1e12, 10e9, "")
ASSUMED = Assumptions(arithmetic=0.5, bandwidth=0.5, gather=0.25, start=1e-6, launch=1e-5)


def test_every_operation_takes_the_longest_of_three_times():
    ops = (
        Op("aten.mm", 50e9, 1e6),  # arithmetic: 1 ms at 50 TFLOP/s
        Op("aten.mm", 1e6, 4e9),  # traffic: half of it, 4 ms at 0.5 TB/s
        Op("aten.mm", 1.0, 1.0),  # start: 1 µs
        Op("aten.native_group_norm", 0.0, 2e9),  # traffic: 2 ms
        Op("aten._softmax", 0.0, 1e9),  # 1 ms
        Op("aten.add", 0.0, 8e9),  # fused into another
    )
    assert step_seconds(StepWork(ops, 0, 0), CARD, ASSUMED) == pytest.approx(8.001e-3)


class Counted:
    """A bundle of which every graph takes 10 ms; it holds 2 GB in float32, that of CDS 6 GB."""

    manifest = load_manifest("mini")

    def count(self, request):
        weights = 6_000_000_000 if request.name == "cds2d" else 2_000_000_000
        return StepWork((Op("aten.mm", 500e9, 0.0),), 1_000_000_000, weights)


def test_an_object_is_the_sum_of_its_parts():
    method = fast()
    found = project(method, Counted(), CARD, ASSUMED)
    assert found.reference_seconds == pytest.approx(20 * 10e-3)  # DDIM steps
    coarse, geometry, texture = found.phases
    configs = (method.coarse, method.geometry, method.texture)
    for phase, config in zip(found.phases, configs, strict=True):
        assert len(phase.steps) == 3
        half = half_bytes(config, ASSUMED) / 0.25e12 + 800 * 1e-5
        assert phase.iteration_seconds == pytest.approx(30e-3 + half)
        assert phase.seconds == pytest.approx(config.steps * phase.iteration_seconds)
    assert found.seconds == pytest.approx(
        0.2 + coarse.seconds + geometry.seconds + texture.seconds + ASSUMED.files
    )


def test_memory_is_that_of_the_part_that_needs_most():
    """Engines are open while their part lasts: two graphs and one encoder, or three steps."""
    found = project(fast(), Counted(), CARD, ASSUMED)
    weights = {"reference": 3e9, "coarse": 3e9, "geometry": 5e9, "texture": 3e9}
    assert found.weight_bytes == weights
    assert found.part_bytes["reference"] == 3e9 + 0.5e9 + ASSUMED.context_bytes
    kept = half_bytes(fast().geometry, ASSUMED) / 3
    assert found.memory_bytes == pytest.approx(5e9 + 0.5e9 + kept + ASSUMED.context_bytes)
    row = ProjectionRow.of("fast", CARD, found, ASSUMED)
    header, (cells,) = projection_cells([row])
    assert cells[header.index("most in")] == "geometry"


def test_the_share_of_iterations_that_fits():
    found = SimpleNamespace(
        reference_seconds=10.0, files_seconds=20.0,
        phases=[SimpleNamespace(seconds=200.0), SimpleNamespace(seconds=100.0)],
    )  # fmt: skip
    assert iterations_share(found) == pytest.approx(0.5)  # 150 s of 300 s
    method = with_share_of_steps(fast(), 0.5)
    assert (method.coarse.steps, method.geometry.steps, method.texture.steps) == (750, 200, 400)


def test_traffic_grows_with_what_is_looked_at():
    small, config = ASSUMED, paper().coarse
    one = half_bytes(config, small)
    assert half_bytes(replace(config, size=2 * config.size), small) == pytest.approx(
        4 * one, rel=0.1
    )
    fewer = replace(small, samples_per_ray=small.samples_per_ray / 2)
    assert 0.5 * one < half_bytes(config, fewer) < one


def test_cards():
    assert gpu_named("RTX4090") is GPUS["rtx4090"]
    with pytest.raises(BenchError, match="rtx3090, rtx4090, a100, h100"):
        gpu_named("rtx5000")


def test_counting_without_numbers_equals_counting_with_them(tmp_path: Path):
    """The same graph, of the same shapes, with real weights: same operations, same arithmetic."""
    make_random_bundle(tmp_path / "b", reduced(), 0, lambda _: None)
    bundle = load_bundle(load_manifest(tmp_path / "b"))
    request = GraphRequest("sds3d_img", 1, 32)
    feeds = trial_feeds(bundle, request, 0.5, torch.Generator().manual_seed(0))
    module = make_module(bundle, request.name)
    with torch.no_grad(), OpCounter() as real:
        module(**feeds)
    with counted_bundle(reduced()) as counted:
        work = counted.count(request)
    assert work.flops == real.flops > 1e9
    assert work.activation_bytes == pytest.approx(real.peak_bytes, rel=0.05)
    unet, vae = bundle.zero123.unet, bundle.zero123.vae
    assert work.weight_bytes == 4 * sum(p.numel() for n in (unet, vae) for p in n.parameters())
