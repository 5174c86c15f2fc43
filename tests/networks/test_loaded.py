"""Networks that are loaded once: several runs give what each gives in a process of its own."""

import dataclasses
import subprocess
import sys

import pytest

from tests.support.two_priors import two_priors
from tests.support.watcher import Watcher
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.savings import Savings
from xbind.engine.ort import OrtBackend
from xbind.networks.graphs import GraphRequest
from xbind.networks.loaded import LoadedMismatch, load_networks
from xbind.networks.runtime import Part
from xbind.pipeline import generate

PART = Part([GraphRequest("ms", 3, 64)])


@pytest.fixture(scope="module")
def loaded():
    return load_networks("mini", device="cpu")


def config(out, text="a red mug", **changes):
    settings = {"preset": "smoke", "engine": "onnxruntime", "device": "cpu"} | changes
    return GenerateConfig(prompt=PromptConfig(text=text), out=out, **settings)


def mesh(out):
    return (out / "mesh.glb").read_bytes()


def test_two_runs_give_the_meshes_of_two_processes(loaded, tmp_path, monkeypatch):
    opened = []
    init = OrtBackend.__init__

    def opening(self, *args, **kwargs):
        opened.append(args[1])
        init(self, *args, **kwargs)

    monkeypatch.setattr(OrtBackend, "__init__", opening)
    generate(config(tmp_path / "first", text="a blue duck", seed=4), Watcher(), loaded)
    first = list(opened)
    generate(config(tmp_path / "second"), Watcher(), loaded)
    assert len(set(first)) == len(first) > 0
    assert opened == first  # the second run found them open
    words = ["generate", "--text", "a red mug", "--preset", "smoke", "--engine", "onnxruntime"]
    program = "import sys; from xbind.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-P", "-c", program, *words, "--out", str(tmp_path / "alone")]
    subprocess.run([*command, "--device", "cpu"], check=True, stdout=subprocess.DEVNULL)
    assert mesh(tmp_path / "second") == mesh(tmp_path / "alone")
    assert mesh(tmp_path / "second") != mesh(tmp_path / "first")


def test_engines_are_unloaded_where_memory_is_short(loaded):
    report = [].append
    networks = loaded.compile("onnxruntime", {"coarse": PART}, threads=1, report=report)
    with networks.stage("coarse") as stage:
        stage.step("ms")
    assert len(loaded._engines) > 0
    short = loaded.compile(
        "onnxruntime", {"coarse": PART}, threads=1, report=report, keep_engines=False
    )
    with short.stage("coarse") as stage:
        stage.step("ms")
        assert len(short._engines) > 0
    assert len(loaded._engines) == 0


def test_an_engine_of_other_threads_is_another(loaded):
    for threads in (1, 2, 2):
        parts = {"coarse": Part(PART.requests, Savings())}
        networks = loaded.compile("onnxruntime", parts, threads=threads, report=[].append)
        networks.of_stage("coarse").step("ms")
    assert len(loaded._engines) == 2
    loaded.close()
    assert len(loaded._engines) == 0


@pytest.mark.parametrize("what", ["3D prior", "content of the bundle"])
def test_networks_of_another_bundle_or_prior_are_refused(what, loaded, tmp_path):
    bundle = two_priors(tmp_path)
    found = loaded if what != "3D prior" else load_networks(str(bundle), prior_3d="narrow")
    wanted = dataclasses.replace(config(tmp_path / "run"), bundle=str(bundle))
    with pytest.raises(LoadedMismatch, match=rf"The {what} of this run(.|\n)*loaded: (.|\n)*Load"):
        generate(wanted, Watcher(), found)
    assert not (tmp_path / "run").exists()
