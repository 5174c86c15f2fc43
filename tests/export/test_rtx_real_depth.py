"""TensorRT-RTX reads and builds the public networks at their real depth and a reduced width.

No GPU is needed. The two UNets alone are in `sds2d` and `sds3d`; `cds2d` is `sds2d` with another
pass of the UNet, and takes twice as long: `xbind-build-engines --measure` builds it.
"""

import importlib.util

import pytest

from xbind.engine.trt import PLAN
from xbind.export.trt_builder import build_plan
from xbind.importing.architectures import reduced, sd21
from xbind.importing.random_weights import make_random_bundle
from xbind.networks.build import dialect_of, export
from xbind.networks.fingerprint import weight_bytes
from xbind.networks.graphs import GraphRequest
from xbind.networks.load import load_bundle
from xbind.networks.precision import in_precision

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"
    ),
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    out = tmp_path_factory.mktemp("depth") / "reduced"
    return make_random_bundle(out, reduced(), 0, lambda line: None)


@pytest.fixture(scope="module")
def bundle(manifest):
    return in_precision(load_bundle(manifest), "float16")


def test_the_depth_is_that_of_the_public_networks():
    small, full = reduced(), sd21()
    for name in ("unet2d", "unet3d", "vae"):
        ours, theirs = getattr(small, name), getattr(full, name)
        assert len(ours["block_out_channels"]) == len(theirs["block_out_channels"])
        assert ours["layers_per_block"] == theirs["layers_per_block"]
    assert small.clip["num_hidden_layers"] == full.clip["num_hidden_layers"] == 32
    depths = {name: trunk.depth for name, trunk in full.bind.trunks.items()}
    assert {name: trunk.depth for name, trunk in small.bind.trunks.items()} == depths


@pytest.mark.parametrize(
    ("name", "batch", "size", "targets"),
    [
        ("sds2d", 1, 64, "sm89"), ("perp_neg2d", 1, 64, "sm89"), ("vsd2d", 1, 64, "sm89"),
        ("sds3d", 1, 64, "sm89"), ("ms", 3, 56, "sm89"),
        ("bind_vision", 1, 0, "sm89"), ("bind_text", 1, 0, "sm89"), ("bind_audio", 1, 0, "sm89"),
        ("bind_imu", 1, 0, "sm86,sm89"),
    ],
)  # fmt: skip
def test_it_reads_and_builds_them(bundle, manifest, tmp_path, name, batch, size, targets):
    request = GraphRequest(name, batch, size, rank=4 if name == "vsd2d" else 0)
    graph = export(bundle, request, dialect_of("tensorrt-rtx", "float16"))
    build_plan("tensorrt-rtx", graph, tmp_path, targets=targets.split(","))
    halves = weight_bytes(request, manifest) / 2
    if name.startswith("bind_"):  # of one trunk; the file holds all
        own = f".{name.removeprefix('bind_')}."
        networks = bundle.bind.model.net.named_parameters()
        halves = 2 * sum(p.numel() for key, p in networks if own in key)
    assert graph.weight_bytes > 0.8 * halves
    assert (tmp_path / PLAN).stat().st_size > 0.8 * halves
