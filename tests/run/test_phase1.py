"""Two second phases from one first phase, and runs of methods that leave something out."""

import shutil

import pytest
from PIL import Image

from tests.support.run_files import config_of, events_of
from tests.support.watcher import Watcher
from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.variants import method_named
from xbind.errors import XBindError
from xbind.networks.manifest import load_manifest
from xbind.pipeline import generate
from xbind.run.folder import RunError, start_run
from xbind.run.phase1 import Phase1Mismatch, read_phase1
from xbind.run.settings import run_settings

pytestmark = pytest.mark.slow


def config(out, **changes):
    settings = {"prompt": PromptConfig(text="a red mug"), "preset": "probe", "engine": "eager"}
    return GenerateConfig(out=out, **(settings | changes))


def mesh(out):
    return (out / "mesh.glb").read_bytes()


def events(out, phase):
    return [row for row in events_of(out) if row["phase"] == phase]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("phase1") / "run"
    generate(config(out), Watcher())
    return out


def test_the_same_loss_from_there_gives_the_same_mesh(finished, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    watcher = Watcher()
    generate(config(tmp_path / "again", from_phase1=finished), watcher)
    assert mesh(tmp_path / "again") == mesh(finished)
    assert {phase for phase, _ in watcher.steps} == {"geometry", "texture"}
    assert events(tmp_path / "again", "coarse") == events(finished, "coarse")
    assert (tmp_path / "again/reference.png").read_bytes() == (
        finished / "reference.png"
    ).read_bytes()
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_another_loss_in_phase_2_starts_alike_and_can_be_interrupted(finished, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    other = {"from_phase1": finished, "phase2_loss": "sds"}
    generate(config(whole, **other), Watcher())
    with pytest.raises(KeyboardInterrupt):
        generate(config(out, **other), Watcher(("geometry", 1)))
    generate(config(out, **other, resume=True), Watcher())
    assert mesh(out) == mesh(whole) != mesh(finished)
    assert events(whole, "coarse") == events(finished, "coarse")
    first, theirs = events(whole, "geometry")[0], events(finished, "geometry")[0]
    assert first["nc"] == theirs["nc"]  # the same mesh
    assert first["planar"] != theirs["planar"]


def test_the_same_picture_in_another_place_is_the_same_prompt(tmp_path):
    """As when an evaluation writes its prompts' pictures beside each method's objects."""
    drawn = Image.new("RGB", (64, 64), "white")
    drawn.paste("red", (16, 16, 48, 48))
    places = [tmp_path / "a/red.png", tmp_path / "b/red.png", tmp_path / "c/red.png"]
    for place in places:
        place.parent.mkdir()
        drawn.save(place)
        drawn.paste("blue", (20, 20, 30, 30)) if place == places[1] else None
    prompts = [PromptConfig(image=place) for place in places]
    generate(config(tmp_path / "first", prompt=prompts[0]), Watcher())
    generate(
        config(tmp_path / "second", prompt=prompts[1], from_phase1=tmp_path / "first"), Watcher()
    )
    assert mesh(tmp_path / "second") == mesh(tmp_path / "first")
    with pytest.raises(Phase1Mismatch, match="prompt differs"):
        generate(
            config(tmp_path / "third", prompt=prompts[2], from_phase1=tmp_path / "first"), Watcher()
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": PromptConfig(text="a blue mug")}, "prompt differs"),
        ({"seed": 3}, "seed differs"),
        ({"preset": "smoke"}, "coarse of preset 'smoke' differs"),
        ({"without": "ms"}, "coarse of preset 'probe' differs"),
    ],
)
def test_another_phase_1_is_refused(finished, tmp_path, change, message):
    with pytest.raises(Phase1Mismatch, match=message):
        generate(config(tmp_path / "out", from_phase1=finished, **change), Watcher())
    assert not (tmp_path / "out").exists()


def test_phase_1_is_that_of_the_start_and_its_damage_is_told(finished, tmp_path):
    first, wanted = tmp_path / "first", config_of(finished)
    shutil.copytree(finished, first)
    digest = read_phase1(first, wanted).digest
    assert read_phase1(first, wanted | {"phase1_sha256": digest}).digest == digest
    with pytest.raises(Phase1Mismatch, match="is not the one that this run was started from"):
        read_phase1(first, wanted | {"phase1_sha256": digest[::-1]})
    log = (first / "events.jsonl").read_bytes()
    (first / "events.jsonl").write_bytes(log.replace(b'"step": 1,', b'"step": 7,', 1))
    phase1 = read_phase1(first, wanted)
    assert "line 1 is damaged" in phase1.warnings[0]
    assert phase1.events == []
    assert phase1.digest == digest
    with pytest.raises(Phase1Mismatch, match="threads differs"):
        read_phase1(first, wanted | {"threads": 2})


def test_the_digest_of_phase_1_sees_every_number(finished):
    phase1 = read_phase1(finished, config_of(finished))
    coarse, before = phase1.state.phases["coarse"], phase1.digest
    phase1.state.seconds.clear()
    assert phase1.digest == before
    coarse.generator[-1] ^= 1
    assert phase1.digest != before
    coarse.generator[-1] ^= 1
    coarse.module[next(iter(coarse.module))].view(-1)[0] += 1
    assert phase1.digest != before


def test_what_is_no_run_or_not_far_enough_is_refused(finished, tmp_path):
    for folder, message in ((tmp_path / "none", "no folder"), (tmp_path, "no config.json")):
        with pytest.raises(RunError, match=message):
            generate(config(tmp_path / "out", from_phase1=folder), Watcher())
    early = tmp_path / "early"
    with pytest.raises(KeyboardInterrupt):
        generate(config(early, preset="smoke"), Watcher(("coarse", 7)))
    with pytest.raises(Phase1Mismatch, match="has not finished Phase I"):
        generate(config(tmp_path / "out", from_phase1=early, preset="smoke"), Watcher())
    shutil.rmtree(early / "checkpoints")
    with pytest.raises(RunError, match="no whole checkpoint"):
        generate(config(tmp_path / "out", from_phase1=early, preset="smoke"), Watcher())


@pytest.mark.parametrize(
    ("changes", "phases", "terms"),
    [
        ({"preset": "probe:stablesds-3d"}, 3, {"planar", "opacity", "nv"}),
        ({"without": "planar,three-phase"}, 1, {"stereo", "opacity", "nv", "rgb", "mask"}),
        ({"preset": "probe:zerostablecds-3d"}, 3,
         {"planar", "stereo", "opacity", "nv", "rgb", "mask"}),
    ],
)  # fmt: skip
def test_methods_run_through_with_their_own_terms(tmp_path, changes, phases, terms):
    out, watcher = tmp_path / "run", Watcher()
    generate(config(out, **changes), watcher)
    assert len({phase for phase, _ in watcher.steps}) == phases
    seen = {name for row in events(out, "coarse") for name in row} - {"phase", "step"}
    assert seen == terms
    assert (out / "reference.png").exists() == ("mask" in terms)
    assert ("reference.png" in (out / "report.html").read_text()) == ("mask" in terms)
    assert mesh(out)


@pytest.mark.parametrize(("preset", "error"), [("delit", Phase1Mismatch), ("fantasia3d", RunError)])
def test_the_light_is_compared_where_phase_1_shows_it(tmp_path, preset, error):
    """Fantasia3D's material alone is lit: its first phase is the same in any light."""
    method = method_named(preset)
    settings = run_settings(config(tmp_path, preset=preset), method, load_manifest("mini"), "cpu")
    with start_run(tmp_path / "run", settings | {"engine": "eager"}):
        pass
    wanted = settings | {"light": settings["light"] | {"ambient": 0.9}}
    with pytest.raises(XBindError) as refused:
        read_phase1(tmp_path / "run", wanted)
    assert type(refused.value) is error
    assert ("light differs" in str(refused.value)) == (error is Phase1Mismatch)
