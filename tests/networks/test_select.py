"""A backend by its record alone: built, compared, chosen, planned and fingerprinted."""

from dataclasses import replace

import pytest

from tests.support.backend_records import only
from xbind.config.backends import BACKENDS, BuildCost
from xbind.config.savings import Savings
from xbind.engine.ort import MODEL, OrtBackend, OrtRuntime
from xbind.engine.store import EngineStore
from xbind.networks.build import build
from xbind.networks.build_many import Job, estimate
from xbind.networks.fingerprint import key_of, why_stale
from xbind.networks.graphs import GraphRequest
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import Part
from xbind.networks.select import compile_run

MANIFEST = load_manifest("mini")
MS = GraphRequest("ms", 3, 64)
COST = BuildCost(seconds=7.0, seconds_per_gb=0.0, disk=3.0, disk_fixed=5, memory=0.0)


class Counted(OrtBackend):
    """An engine that counts its runs."""

    runs = 0

    def _run(self, feeds):
        Counted.runs += 1
        return super()._run(feeds)


class Library(OrtRuntime):
    def version(self):
        return "0.1-fake"

    def open(self, entry, *, threads, workspace=None, device=None):
        return Counted(entry.spec, entry.folder / MODEL, threads=threads)


@pytest.fixture
def record(monkeypatch):
    """A backend that is preferred to all others."""
    monkeypatch.setattr("xbind.engine.ort.Library", Library, raising=False)
    record = replace(
        BACKENDS["onnxruntime"], name="fake", title="Fake", runtime="xbind.engine.ort:Library",
        cost=COST,
    )  # fmt: skip
    with only(record, *BACKENDS.values()):
        yield record


def test_a_new_record_is_all_that_a_backend_needs(record, tmp_path):
    store, bundle, said = EngineStore(tmp_path), load_bundle(MANIFEST), []
    entry = build(store, bundle, MS, "fake")
    assert entry.notes["compared"] == "fake"
    assert Counted.runs == 3  # the parity gate's
    assert entry.key == key_of(MS, "fake", MANIFEST)
    assert entry.key.fields["backend_version"] == "0.1-fake"
    assert why_stale(entry.key) == []
    parts = {"coarse": Part([MS], Savings())}
    run = compile_run("auto", bundle, parts, store, threads=1, report=said.append)
    assert run.backend == "fake"
    assert said == ["guidance in Fake 0.1-fake; --engine eager for torch"]
    job = Job("mini", MS, "fake", "float32", (), tmp_path)
    assert job.is_built(MANIFEST)
    assert estimate(job, MANIFEST).seconds == COST.seconds
