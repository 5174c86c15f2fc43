"""`--prior-3d` in runs: what is computed with it, and what is refused."""

from dataclasses import replace

import pytest

from tests.support.run_files import config_of, events_of, write_config
from tests.support.two_priors import two_priors
from tests.support.watcher import Watcher
from xbind.config import variants as methods
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.networks.manifest import BundleError
from xbind.pipeline import generate
from xbind.run.checks import RunError
from xbind.run.phase1 import Phase1Mismatch
from xbind.run.settings import ResumeMismatch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return two_priors(tmp_path_factory.mktemp("priors"))


def config(bundle, out, **changes):
    return GenerateConfig(
        prompt=PromptConfig(text="a red mug"), out=out, preset="probe", engine="eager",
        bundle=str(bundle), **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("wide", "narrow"):
        generate(config(bundle, folder / name, prior_3d=name), Watcher())
    return folder


def first_terms(run):
    return events_of(run)[0]


def told(run):
    return config_of(run)


def test_the_named_prior_is_the_one_that_guides(runs):
    wide, narrow = first_terms(runs / "wide"), first_terms(runs / "narrow")
    assert wide["planar"] == narrow["planar"]
    assert wide["stereo"] != narrow["stereo"]
    assert told(runs / "narrow")["prior_3d"] == "narrow"
    assert "prior_3d</th><td>narrow<" in (runs / "narrow/report.html").read_text()


def test_the_default_by_name_is_the_default(bundle, runs):
    assert told(runs / "wide")["prior_3d"] is None
    generate(config(bundle, runs / "wide", resume=True), Watcher())


def test_a_run_goes_on_with_its_prior_only(bundle, runs):
    with pytest.raises(ResumeMismatch, match=r"prior_3d differs.\n.*narrow\n.*None"):
        generate(config(bundle, runs / "narrow", resume=True), Watcher())
    with pytest.raises(ResumeMismatch, match="prior_3d differs"):
        generate(config(bundle, runs / "wide", resume=True, prior_3d="narrow"), Watcher())
    with pytest.raises(Phase1Mismatch, match="prior_3d differs"):
        generate(config(bundle, runs / "x", from_phase1=runs / "narrow"), Watcher())


def test_a_run_that_does_not_say_its_prior_is_not_gone_on_from(bundle, runs):
    held = told(runs / "wide")
    write_config(runs / "wide", {key: value for key, value in held.items() if key != "prior_3d"})
    with pytest.raises(RunError, match=r"it lacks prior_3d\).*\n.*--overwrite"):
        generate(config(bundle, runs / "wide", resume=True), Watcher())
    write_config(runs / "wide", held)


def test_a_prior_that_is_not_there_costs_no_run(bundle, runs):
    with pytest.raises(BundleError, match="no 3D prior 'broad'; it has: wide, narrow"):
        generate(config(bundle, runs / "narrow", prior_3d="broad", overwrite=True), Watcher())
    assert told(runs / "narrow")["prior_3d"] == "narrow"
    with pytest.raises(ValueError, match="--prior-3d is empty"):
        config(bundle, runs / "x", prior_3d=" ")


def test_a_preset_can_name_the_prior(bundle, runs, tmp_path, monkeypatch):
    named = replace(methods.preset_named("probe"), prior_3d="narrow")
    monkeypatch.setattr("xbind.pipeline.method_of", lambda *_: named)
    generate(config(bundle, tmp_path / "preset"), Watcher())
    assert told(tmp_path / "preset")["prior_3d"] == "narrow"
    assert first_terms(tmp_path / "preset") == first_terms(runs / "narrow")
    generate(config(bundle, tmp_path / "flag", prior_3d="wide"), Watcher())
    assert first_terms(tmp_path / "flag") == first_terms(runs / "wide")
