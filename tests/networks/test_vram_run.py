"""`generate --vram` in engines, prompt to mesh: what the plan says is what is loaded, and when."""

from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from PIL import Image
from tiny_sources import tiny

from xbind.config.options import GenerateConfig, PromptConfig
from xbind.importing.architectures import reduced
from xbind.importing.random_weights import make_random_bundle
from xbind.memory.plan import fit
from xbind.networks import open_engines
from xbind.networks.runtime import EngineRun
from xbind.pipeline import generate
from xbind.run.progress import PlainReporter

pytestmark = pytest.mark.slow
GIB = 0.8135
"""Less than Phase I needs with all but the last saving, more than Phases II and III in half."""
PHASES = ("coarse", "geometry", "texture")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    out = tmp_path_factory.mktemp("random") / "sd21-random"
    return make_random_bundle(out, tiny(reduced()), 3, lambda line: None)


@pytest.fixture(scope="module")
def run(manifest, tmp_path_factory):
    """Of a run: folder, words, plan, and what was opened and closed in which part."""
    folder, watch = tmp_path_factory.mktemp("run"), pytest.MonkeyPatch()
    y, x = np.mgrid[:96, :96]
    inside = (x - 48) ** 2 + (y - 48) ** 2 < 30**2
    picture = np.where(inside[..., None], (200, 40, 30), 255).astype(np.uint8)
    Image.fromarray(picture).save(folder / "ball.png")
    events, plans, part = [], [], ["reference"]
    open_backend, of_stage = open_engines.open_backend, EngineRun.of_stage

    def opening(entry, **arguments):
        backend = open_backend(entry, **arguments)
        fields = entry.key.fields
        events.append((part[0], "open", fields["graph"], fields["precision"]))
        close = backend.close

        def closing():
            events.append((part[0], "close", fields["graph"], fields["precision"]))
            close()

        backend.close = closing
        return backend

    def beginning(self, name):
        part[0] = name
        assert not self._engines
        return of_stage(self, name)

    def planning(*arguments):
        plans.append(fit(*arguments))
        return plans[-1]

    watch.setattr("xbind.memory.plan.fit", planning)
    watch.setattr(open_engines, "open_backend", opening)
    watch.setattr(EngineRun, "of_stage", beginning)
    watch.setenv("XBIND_CACHE", str(folder / "cache"))
    config = GenerateConfig(
        prompt=PromptConfig(image=folder / "ball.png"), out=folder / "run", preset="probe",
        bundle=str(manifest.folder), engine="onnxruntime", vram=GIB, device="cpu",
    )  # fmt: skip
    with (folder / "said").open("w+") as said:
        with watch.context(), PlainReporter(said) as reporter:
            generate(config, reporter)
        said.seek(0)
        words = said.read()
    watch.undo()
    return SimpleNamespace(folder=folder / "run", said=words, events=events, plans=plans)


@pytest.fixture
def plan(run):
    return {part.name: part for part in run.plans[0].parts}


def test_the_plan_has_a_part_of_every_kind(plan):
    assert plan["reference"].savings.described() == []
    assert plan["coarse"].savings.one_engine
    assert plan["geometry"].savings.described() == ["float16 networks"]
    assert all(part.peak <= GIB * 2**30 for part in plan.values())


def test_it_comes_to_a_mesh_and_says_what_it_saves(run, plan):
    assert len(trimesh.load(run.folder / "mesh.glb", force="mesh").faces) > 0
    for part in plan.values():
        saved = ", ".join(part.savings.described()) or "nothing saved"
        assert f"{part.name}: {part.peak / 2**30:.1f} GiB ({saved})" in run.said


@pytest.mark.parametrize("phase", PHASES)
def test_the_graphs_of_the_plan_are_opened_in_their_phase_in_its_precision(run, plan, phase):
    opened = {event[2:] for event in run.events if event[:2] == (phase, "open")}
    wanted = {graph.request.label for graph in plan[phase].graphs}
    assert opened == {(label, "float16") for label in wanted}
    two_passes = {label for label in wanted if label.endswith("-2passes")}
    assert len(two_passes) == (2 if phase == "coarse" else 0)


def test_no_more_is_open_than_the_plan_counts(run, plan):
    """One engine at a time in Phase I, which opens them again and again; then all of a phase.

    The reference view is a picture, so the 3D prior alone is sampled before.
    """
    open_now, most, times = set(), dict.fromkeys(("reference", *PHASES), 0), 0
    for part, what, graph, _ in run.events:
        if what == "open":
            assert graph not in open_now
            open_now.add(graph)
            times += part == "coarse"
            most[part] = max(most[part], len(open_now))
        else:
            open_now.remove(graph)
    assert most == {"reference": 1, "coarse": 1, "geometry": 3, "texture": 3}
    assert times > 3
