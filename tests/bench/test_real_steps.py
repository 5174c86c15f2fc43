"""Steps of the public networks' size: what is counted without weights, and the random weights."""

import pytest
import torch

from xbind.bench.bench_real_steps import LAYOUTS, count_graphs, lay_out, random_bundle
from xbind.bench.ops import OpCounter
from xbind.bench.real_builds import draw_like
from xbind.importing.architectures import reduced
from xbind.importing.random_weights import write_shapes
from xbind.models.channels_last import FusedGroupNorm
from xbind.networks.graphs import GraphRequest, make_module


@pytest.mark.parametrize("request_", [GraphRequest("sds3d_img", 1, 32), GraphRequest("ms", 3, 56)])
def test_counting_without_weights_equals_counting_with_them(tmp_path, request_):
    manifest = write_shapes(tmp_path / "shapes", reduced())
    ((flops, shapes),) = count_graphs(manifest, [request_]).values()
    bundle = random_bundle(manifest, "float32", torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    feeds = {name: draw_like(name, x, generator) for name, x in shapes.items()}
    with torch.no_grad(), OpCounter() as real:
        outputs = make_module(bundle, request_.name)(**feeds)
    assert flops == real.flops > 1e8
    assert all(x.isfinite().all() for x in outputs)


def test_every_layout_computes_the_same(tmp_path):
    manifest = write_shapes(tmp_path / "shapes", reduced())
    request = GraphRequest("sds3d_img", 1, 32)
    ((_, shapes),) = count_graphs(manifest, [request]).values()
    bundle = random_bundle(manifest, "float32", torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    feeds = {name: draw_like(name, x, generator) for name, x in shapes.items()}
    results, fused = [], []
    for layout in LAYOUTS:
        lay_out(bundle, layout)
        with torch.no_grad():
            results.append(make_module(bundle, request.name)(**feeds))
        layers = [*bundle.zero123.vae.modules(), *bundle.unclip.unet.modules()]
        fused.append(any(isinstance(layer, FusedGroupNorm) for layer in layers))
        weight = bundle.zero123.vae.encoder.conv_in.weight
        is_last = weight.is_contiguous(memory_format=torch.channels_last)
        assert is_last == (layout != "first")
    assert fused == [False, False, True]
    for found in results[1:]:
        torch.testing.assert_close(found, results[0], rtol=1e-3, atol=1e-5)
