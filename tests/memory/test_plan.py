"""Plans: counted from shapes, right where it can be counted by hand, and a rule that is kept to."""

import math
import sys
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel as PlainUNets
from torch import nn

from xbind.cli.bundle import parameter_counts
from xbind.cli.main import main
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.presets import FieldConfig, preset_named
from xbind.config.savings import FASTEST, Savings
from xbind.engine.spec import DTYPES
from xbind.export.builder import Dialect
from xbind.export.footprint import footprint
from xbind.export.onnx_graph import lower
from xbind.export.record import record
from xbind.memory.plan import GIB, RUNTIME_BYTES, Counter, DoesNotFit, Wish, fit
from xbind.memory.scene import field_parameters, ray_samples, sample_bytes, scene_bytes
from xbind.networks.graphs import GraphRequest, graphs_of_part
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.scene.nerf.field import HashField

MANIFEST = load_manifest("mini")
PROBE = preset_named("probe")
MIB = 2**20


class Shared:
    """One counter for the whole file: each graph is recorded once."""

    counter = Counter(MANIFEST)


@pytest.fixture(autouse=True)
def _one_counter(monkeypatch):
    monkeypatch.setattr("xbind.memory.plan.Counter", lambda manifest: Shared.counter)


def counted(module, **feeds):
    return footprint(lower("t", record(module, feeds, ["output"]), Dialect()))


class Chain(nn.Module):
    """x → 2 rows of four times the width → back: 1 + 4 + 1 units alive by turns."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Linear(256, 1024, bias=False), nn.Linear(1024, 256, bias=False)

    def forward(self, x):
        return self.narrow(torch.relu(self.wide(x)) * 2.0)


def test_memory_is_given_back_and_written_over():
    """x (1 unit) lives throughout; of 4 + 4 units for relu and product no second copy is made."""
    needs = counted(Chain(), x=torch.zeros(64, 256))
    unit = 64 * 256 * 4
    assert needs.weights == 2 * 256 * 1024 * 4 + 4  # the 2.0 as well
    assert needs.activations == (1 + 4 + 4) * unit  # relu is not in place with what it reads
    assert needs.attention == 0


class Attend(nn.Module):
    def forward(self, q):
        return nn.functional.scaled_dot_product_attention(q, q, q)


def test_a_convolution_is_given_room_to_turn_its_layout():
    needs = counted(
        nn.Conv2d(4, 8, 3, padding=1).requires_grad_(False), input=torch.zeros(1, 4, 32, 32)
    )
    image = 4 * 32 * 32 * 4
    assert needs.activations == 3 * image
    assert needs.workspace == 3 * image


def test_attention_counts_its_maps():
    needs = counted(Attend(), q=torch.zeros(2, 4, 512, 8))
    one_map = 2 * 4 * 512 * 512 * 4
    assert needs.attention == pytest.approx(one_map, rel=0.2)
    assert needs.activations > one_map


def test_shapes_give_the_count_that_weights_give():
    """The same graph from a bundle in memory and from its configurations alone."""
    from xbind.networks.build import dialect_of, export

    request = GraphRequest("ms", 2, 64)
    real = footprint(export(load_bundle(MANIFEST), request, dialect_of("tensorrt-rtx", "float32")))
    shapes = Shared.counter.count(request, "float32")
    assert shapes.activations == real.activations
    assert shapes.weights == pytest.approx(real.weights, rel=0.01)  # equal numbers are stored once


def test_half_is_half_and_two_passes_are_less():
    wide = Shared.counter.count(GraphRequest("unet2d", 16, 0), "float32")
    half = Shared.counter.count(GraphRequest("unet2d", 16, 0), "float16")
    assert 0.48 < half.weights / wide.weights < 0.55
    assert half.activations < 0.9 * wide.activations
    single = Shared.counter.count(GraphRequest("unet2d", 8, 0), "float32")
    assert 0.45 < single.activations / wide.activations < 0.6


@pytest.mark.parametrize(
    "config",
    [
        FieldConfig(resolutions=(4, 8, 16), log2_entries=6, hidden=8),
        FieldConfig(log2_entries=6, hidden=8, hidden_layers=3),
        FieldConfig(log2_entries=6, hidden=8, hidden_layers=2, separate_heads=True),
    ],
)
def test_a_field_s_parameters_are_counted(config):
    field = HashField(config, generator=torch.Generator())
    assert field_parameters(config) == sum(p.numel() for p in field.parameters())


def test_a_larger_field_takes_more_memory():
    paper, default = (scene_bytes(preset_named(name)) for name in ("paper", "default"))
    # 16 tables of 2^19 entries with 2 features, in float32: parameters, gradients, two moments
    assert paper["coarse"].state == pytest.approx(16 * 2 * 2**19 * 16, rel=0.01)
    assert paper["texture"].state > 40 * default["texture"].state
    assert sample_bytes(FieldConfig()) == 200
    wide = preset_named("paper").coarse.field
    assert sample_bytes(wide) == round(200 + 5.2 * (20 + 2 * 2 * 64 - 32))


def test_samples_are_those_of_the_march():
    from xbind.kernels import march
    from xbind.scene.cameras import orbit

    method = replace(PROBE.coarse, size=48, ray_step=0.02)
    origins, directions = (x.reshape(-1, 3) for x in orbit(1).rays(48))
    middle = torch.full((len(origins),), 0.5)
    seen = march(origins, directions, None, radius=0.85, step=0.02, jitter=middle)
    assert len(seen.t) == pytest.approx(ray_samples(method), rel=0.1)


def test_samples_from_inside_the_ball_are_those_of_the_march_at_most():
    """threestudio's cameras of DreamFusion, at 1.5 to 2 in a ball of radius 2."""
    from xbind.kernels import march
    from xbind.scene.cameras import orbit

    field = replace(PROBE.coarse.field, radius=2.0)
    cameras = replace(PROBE.coarse.cameras, distance=(1.5, 2.0), fov_y_deg=(40.0, 70.0))
    config = replace(PROBE.coarse, size=16, ray_step=0.02, field=field, cameras=cameras)
    origins, directions = (x.reshape(-1, 3) for x in orbit(1, distance=1.5).rays(16))
    middle = torch.full((len(origins),), 0.5)
    seen = march(origins, directions, None, radius=2.0, step=0.02, jitter=middle)
    assert len(seen.t) <= ray_samples(config) <= 1.3 * len(seen.t)


def test_a_network_and_colours_of_the_geometry_stage_are_counted():
    plain = scene_bytes(PROBE)["geometry"]
    geometry = replace(PROBE.geometry, form="network", start="ellipsoid")
    network = scene_bytes(replace(PROBE, geometry=geometry))["geometry"]
    coloured = scene_bytes(replace(PROBE, geometry=replace(PROBE.geometry, colour=True)))
    assert network.state - plain.state == 16 * field_parameters(geometry.field)
    assert network.buffers - plain.buffers == 2 * geometry.resolution**3 * 200
    assert coloured["geometry"].state - plain.state == 16 * field_parameters(PROBE.texture.field)
    assert coloured["geometry"].buffers > plain.buffers


def test_a_phase_s_peak_is_the_sum_of_its_columns():
    plan = fit(PROBE, MANIFEST, Wish(None))
    assert [part.name for part in plan.parts] == ["reference", "coarse", "geometry", "texture"]
    for part in plan.parts:
        scene = scene_bytes(PROBE)[part.name]
        weights = sum(graph.needs.weights for graph in part.graphs)
        widest = max(graph.needs.activations + graph.needs.workspace for graph in part.graphs)
        assert part.peak == RUNTIME_BYTES + weights + widest + scene.state + scene.buffers
        assert part.savings.described() == []


def test_one_engine_at_a_time_weighs_what_the_heaviest_weighs():
    plan = fit(PROBE, MANIFEST, Wish(None)).parts[1]
    each = sorted(graph.needs.weights for graph in plan.graphs)
    assert each[-1] < sum(each)
    assert replace(plan, savings=Savings(one_engine=True)).weights == each[-1]


def test_eager_torch_has_one_float32_copy_of_every_network():
    """By the headers of the bundle's files; what plays two roles is loaded for each."""
    roles = (
        "bind", "clip", "unclip.unet", "unclip.vae", "zero123.unet", "zero123.vae",
        "zero123.image_encoder",
    )  # fmt: skip
    files = [path for role in roles for path in MANIFEST.part(role).glob("*.safetensors")]
    numbers = sum(sum(parameter_counts(path)) for path in files)
    for part in fit(PROBE, MANIFEST, Wish(None, engines=False)).parts:
        assert part.weights == pytest.approx(4 * numbers, rel=1e-3)


def test_the_reference_is_decoded_one_by_one_where_memory_is_saved():
    paper = preset_named("paper")
    found = [
        [request.label for request in graphs_of_part(paper, MANIFEST, "reference", savings)]
        for savings in (FASTEST, Savings(one_at_a_time=True))
    ]
    assert found[0] == ["unet2d-b8", "vae_decode-b4", "bind_vision-b4"]
    assert found[1] == ["unet2d-b2", "vae_decode-b1", "bind_vision-b4"]


def test_the_reference_is_encoded_where_the_prior_s_error_counts():
    labels = [
        request.label for request in graphs_of_part(preset_named("default"), MANIFEST, "reference")
    ]
    assert labels == [
        "unet2d-b48", "unet3d-b10", "vae_decode-b24", "bind_vision-b24", "vae_encode-b24-64px",
    ]  # fmt: skip


def test_each_part_takes_the_first_rung_that_fits():
    free = fit(PROBE, MANIFEST, Wish(None))
    generous = fit(PROBE, MANIFEST, Wish(math.ceil(free.worst.peak / GIB)))
    assert all(part.savings.described() == [] for part in generous.parts)
    tight = fit(PROBE, MANIFEST, Wish((free.worst.peak - MIB) / GIB))
    saved = {part.name: part.savings.described() for part in tight.parts}
    assert saved.pop(free.worst.name) != []
    assert all(part.peak <= free.worst.peak - MIB for part in tight.parts)


def test_what_does_not_fit_is_refused_with_numbers_and_what_to_give():
    with pytest.raises(DoesNotFit) as refusal:
        fit(PROBE, MANIFEST, Wish(0.5))
    message = str(refusal.value)
    assert message.startswith("--vram 0.5 is too little: reference needs 0.")
    assert "one engine loaded at a time" in message
    assert "Give --vram 1 or more" in message
    assert "runtime        0.75 GiB" in message


def test_the_command_prints_a_table_and_a_verdict(capsys):
    main(["plan", "--preset", "probe"])
    said = capsys.readouterr().out
    assert "probe with mini in engines, as fast as it goes" in said
    assert "sds3d_img-b1-64" in said
    assert "fits 8 GiB (RTX 4060)" in said
    with pytest.raises(SystemExit) as refusal:
        main(["plan", "--preset", "probe", "--vram", "0.5"])
    assert "is too little" in str(refusal.value)


def test_the_public_networks_need_not_be_there(monkeypatch, capsys):
    monkeypatch.undo()
    main(["plan", "--preset", "probe", "--bundle-config", "reduced", "--vram", "2"])
    assert "fits 2 GiB: at most" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_saves_what_the_plan_says(tmp_path, capsys, monkeypatch):
    from xbind.pipeline import generate
    from xbind.run.progress import PlainReporter

    sparing = Savings(split_guidance=True, one_at_a_time=True)
    monkeypatch.setattr("xbind.memory.plan.ladder", lambda *_args, **_kwargs: [sparing])
    seen = []
    forward = PlainUNets.forward

    def watched(net, z, *args, **kwargs):
        seen.append(len(z))
        return forward(net, z, *args, **kwargs)

    monkeypatch.setattr(PlainUNets, "forward", watched)
    config = GenerateConfig(
        prompt=PromptConfig(text="a red mug"), out=tmp_path / "run", preset="probe",
        engine="eager", vram=2,
    )  # fmt: skip
    with PlainReporter(sys.stdout) as reporter:
        generate(config, reporter)
    said = capsys.readouterr().out
    assert said.count("GiB (guidance in two passes, views and images one at a time)") == 4
    assert set(seen) == {1}
    assert (tmp_path / "run/mesh.glb").is_file()


def test_every_type_of_a_graph_has_a_size():
    assert {dtype.itemsize for dtype in DTYPES.values()} == {1, 2, 4, 8}


THETA = 7 * 4 * (4 * 96 + 96 * 4) + (16 * 64 + 64 * 256)
"""Rank 4 on four projections of seven self-attentions 96 wide, and the camera's two matrices."""


def test_vsd_holds_one_network_and_what_its_backward_pass_needs():
    vsd = Shared.counter.count(GraphRequest("vsd2d", 1, 64, rank=4), "float32")
    sds = Shared.counter.count(GraphRequest("sds2d", 1, 64), "float32")
    # matrices of linear layers are stored again, transposed, for the backward pass
    unet = Shared.counter.count(GraphRequest("unet2d", 1, 0), "float32").weights
    assert sds.weights < vsd.weights < sds.weights + 0.6 * unet
    assert vsd.activations > sds.activations


def test_a_phase_with_vsd_optimises_its_estimator():
    guidance = replace(PROBE.coarse.guidance, w_3d=0.0, w_ms=0.0)
    coarse = replace(PROBE.coarse, planar="vsd", guidance=guidance)
    plan = fit(replace(PROBE, coarse=coarse), MANIFEST, Wish(None))
    states = {part.name: part.scene.state for part in plan.parts}
    plain = scene_bytes(PROBE)
    assert states["coarse"] == plain["coarse"].state + 16 * THETA
    assert states["texture"] == plain["texture"].state
    assert [g.request.label for g in plan.parts[1].graphs] == ["vsd2d-b1-64px-rank4"]
