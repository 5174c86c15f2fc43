"""Engines of the backends that are installed, on a real card: built, gated, run, unloaded."""

import pytest
import torch

from xbind.config.backends import backends_for
from xbind.engine.backends import check_available, open_backend, portable_targets
from xbind.engine.eager import EagerBackend
from xbind.engine.errors import BackendUnavailable
from xbind.engine.store import EngineStore, cards_passed
from xbind.export.parity import TOLERANCES, measure
from xbind.networks.build import build
from xbind.networks.graphs import GraphRequest, make_module, sample_inputs
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.system.device import without_tf32

CUDA = torch.device("cuda")
REQUESTS = (GraphRequest("ms", 3, 64), GraphRequest("sds2d_img", 1, 64))


@pytest.fixture(scope="module")
def bundle():
    return load_bundle(load_manifest("mini"))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.label)
@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("backend", [record.name for record in backends_for("cuda")])
def test_an_engine_computes_what_torch_computes_on_this_card(
    bundle, tmp_path, backend, precision, request_
):
    try:
        check_available(backend, [precision])
    except BackendUnavailable as error:
        pytest.skip(str(error).splitlines()[0])
    targets = portable_targets(backend)
    entry = build(
        EngineStore(tmp_path), bundle, request_, backend, precision=precision, targets=targets
    )
    assert len(cards_passed(entry)) == 1
    module = make_module(bundle, request_.name).to(CUDA)
    generator = torch.Generator().manual_seed(5)
    feeds = {k: x.to(CUDA) for k, x in sample_inputs(bundle, request_, 0.3, generator).items()}
    try:
        with open_backend(entry, threads=1) as engine, torch.no_grad(), without_tf32():
            reference = EagerBackend(entry.spec, module)
            for stream in (torch.cuda.default_stream(), torch.cuda.Stream()):
                with torch.cuda.stream(stream):
                    first = engine.run(feeds)
                    kept = {name: x.clone() for name, x in first.items()}
                    engine.run({k: x + 1 if x.is_floating_point() else x for k, x in feeds.items()})
                    for name, x in first.items():  # not a buffer that the next call overwrites
                        assert torch.equal(x, kept[name])
            figures = measure(reference.run, engine.run, [feeds])
    finally:
        module.to("cpu")
    assert all(figure.passes(TOLERANCES[precision]) for figure in figures), figures
