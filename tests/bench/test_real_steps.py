"""Steps of the public networks' size: what is counted without weights, and the random weights."""

import pytest
import torch

from xbind.bench.bench_real_steps import count_graphs, random_bundle
from xbind.bench.ops import OpCounter
from xbind.bench.real_builds import draw_like
from xbind.importing.architectures import reduced
from xbind.importing.random_weights import write_shapes
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
