"""`--prior-2d` in runs: the systems of Table II on a prior that reads text, and refusals."""

import pytest
from tiny_sources import tiny

from tests.support.run_files import config_of, events_of
from tests.support.watcher import Watcher
from xbind.config.methods import SYSTEMS
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.importing.architectures import reduced, with_sd_base
from xbind.importing.random_weights import make_random_bundle
from xbind.networks.loaded import LoadedMismatch, load_networks
from xbind.pipeline import generate
from xbind.run.settings import ResumeMismatch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("random") / "sd21"
    return make_random_bundle(out, with_sd_base(tiny(reduced())), 3, lambda line: None).folder


def config(bundle, out, **changes):
    given = {"prior_2d": "sd_base", "engine": "eager", "preset": "probe:dreamfusion"} | changes
    words = given.pop("text", "a red mug")
    return GenerateConfig(prompt=PromptConfig(text=words), out=out, bundle=str(bundle), **given)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_runs_on_it_from_text(bundle, tmp_path, system):
    generate(config(bundle, tmp_path / "run", preset=f"probe:{system}"), Watcher())
    assert (tmp_path / "run/mesh.glb").stat().st_size > 0
    assert config_of(tmp_path / "run")["prior_2d"] == "sd_base"
    assert "prior_2d</th><td>sd_base<" in (tmp_path / "run/report.html").read_text()
    assert all(record["planar"] > 0 for record in events_of(tmp_path / "run"))


@pytest.fixture(scope="module")
def run(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "text"
    generate(config(bundle, folder), Watcher())
    return folder


def test_another_text_or_prior_guides_elsewhere(bundle, run, tmp_path):
    first = events_of(run)[0]["planar"]
    for name, changes in (("text", {"text": "a dog"}), ("prior", {"prior_2d": None})):
        generate(config(bundle, tmp_path / name, **changes), Watcher())
        assert events_of(tmp_path / name)[0]["planar"] != first
    preset = {"prior_2d": None, "method": {"prior_2d": "sd_base"}}
    generate(config(bundle, tmp_path / "preset", **preset), Watcher())
    assert events_of(tmp_path / "preset")[0]["planar"] == first


def test_engines_guide_to_the_same(bundle, run, tmp_path):
    generate(config(bundle, tmp_path / "run", engine="onnxruntime"), Watcher())
    found, want = (events_of(folder)[0]["planar"] for folder in (tmp_path / "run", run))
    assert found == pytest.approx(want, rel=1e-3)


def test_a_run_goes_on_with_its_prior_only(bundle, run):
    for changes in ({"prior_2d": None}, {"prior_2d": "unclip"}):
        with pytest.raises(ResumeMismatch, match=r"prior_2d differs.\n.*sd_base\n.*None"):
            generate(config(bundle, run, resume=True, **changes), Watcher())
    checkpoint = max((run / "checkpoints").iterdir())
    before = checkpoint.stat().st_mtime_ns
    generate(config(bundle, run, resume=True), Watcher())
    assert checkpoint.stat().st_mtime_ns == before


def test_networks_of_another_2d_prior_are_refused(bundle, tmp_path):
    loaded = load_networks(str(bundle), prior_2d="sd_base", device="cpu")
    generate(config(bundle, tmp_path / "same"), Watcher(), loaded)
    with pytest.raises(LoadedMismatch, match=r"The 2D prior(.|\n)*sd_base(.|\n)*unclip"):
        generate(config(bundle, tmp_path / "run", prior_2d=None), Watcher(), loaded)
