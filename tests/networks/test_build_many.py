"""Building in processes of their own: what ends well, what refuses, what is killed."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from xbind.engine.record import SIDECAR
from xbind.engine.store import EngineStore
from xbind.networks.build_many import Job, estimate, run_jobs
from xbind.networks.graphs import GraphRequest
from xbind.networks.manifest import load_manifest

MANIFEST = load_manifest("mini")


def job(store, name="clip_image", **changes):
    fields = {
        "bundle": "mini", "request": GraphRequest(name, 1, 64), "backend": "onnxruntime",
        "precision": "float32", "targets": (), "store": store,
    }  # fmt: skip
    return Job(**fields | changes)


def quietly(jobs, workers=1):
    return run_jobs(jobs, workers=workers, started=lambda _: None, finished=lambda _: None)


def test_one_fails_and_the_other_is_built(tmp_path):
    good, bad = job(tmp_path), job(tmp_path, "unet4d")
    assert not good.is_built(MANIFEST)
    outcomes = {outcome.job: outcome for outcome in quietly([bad, good], workers=2)}
    assert outcomes[good].state == "built"
    assert "agrees with torch to" in outcomes[good].message
    assert outcomes[bad].state == "failed"
    assert "no graph 'unet4d'" in outcomes[bad].message
    assert good.is_built(MANIFEST)
    (path,) = tmp_path.glob(f"clip_image*/{SIDECAR}")
    path.write_text("")
    assert not good.is_built(MANIFEST)  # damaged: it is built again, not trusted


def test_a_killed_builder_costs_its_own_engine_only(tmp_path):
    def kill():
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".building-*")) and time.monotonic() < deadline:
            time.sleep(0.002)
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    (outcome,) = quietly([job(tmp_path)])
    killer.join()
    assert outcome.state == "failed"
    assert "killed by SIGKILL" in outcome.message
    assert not list(EngineStore(tmp_path).entries())
    (again,) = quietly([job(tmp_path)])
    assert again.state == "built"
    assert not list(tmp_path.glob(".building-*"))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"])
def test_estimates_grow_with_the_weights_and_shrink_in_half(tmp_path, backend):
    large, small = (
        estimate(job(tmp_path, name, backend=backend), MANIFEST) for name in ("sds2d", "ms")
    )
    assert large.disk_bytes > small.disk_bytes > 0
    assert large.seconds > small.seconds > 0
    assert large.memory_bytes > small.memory_bytes > 0
    half = estimate(job(tmp_path, "sds2d", backend=backend, precision="float16"), MANIFEST)
    assert half.disk_bytes < large.disk_bytes


def test_the_estimate_of_an_engine_is_about_its_size(tmp_path):
    quietly([job(tmp_path)])
    (entry,) = EngineStore(tmp_path).entries()
    assert entry.size_bytes == pytest.approx(estimate(job(tmp_path), MANIFEST).disk_bytes, rel=0.3)
