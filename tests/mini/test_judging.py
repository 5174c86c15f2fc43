"""The mini judge and the ground truth: known answers, and known objects of the world itself."""

import json

import pytest
import torch

from tests.support.spheres import sphere
from xbind.errors import XBindError
from xbind.evaluation.judges import Look
from xbind.mini.judging import (
    VIEWS,
    MiniJudge,
    MiniWorld,
    around,
    load_judge,
    load_judges,
    mesh_surface,
    real_objects,
    recognise,
    right_answers,
    target_of_run,
    views_of,
)
from xbind.mini.targets import Target
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.image_faults import IMAGE_FAULTS
from xbind.mini.world.near_misses import build_near_miss
from xbind.networks.load import load_convnet
from xbind.networks.manifest import load_manifest
from xbind.scene.mesh.baking import bake, unwrap
from xbind.scene.mesh.files import write_glb
from xbind.scene.mesh.mesh import Mesh
from xbind.scene.mesh.textured import TexturedMesh, read_glb

MINI = load_manifest("mini")


@pytest.fixture(scope="module")
def judge():
    return load_judge(MINI)


class Fixed(torch.nn.Module):
    """A network with given logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def features(self, image):
        return image.flatten(1)[:, :4]

    def head(self, features):
        return self.logits[: len(features)]


def logits(category, near_miss, colour):
    """One view that is seen as one category, one colour, and a near miss to some degree."""
    out = torch.zeros(1, len(CATEGORIES) + 1 + len(COLOUR_NAMES))
    out[0, category], out[0, len(CATEGORIES)] = 2.0, near_miss
    out[0, len(CATEGORIES) + 1 + colour] = 1.0
    return out


def test_the_pool_is_every_category_in_every_colour():
    net = Fixed(torch.cat([logits(3, 1.0, 5), logits(16, 3.0, 0)]))
    look = MiniJudge(net).look(torch.zeros(2, 3, 64, 64))
    named = [prompts()[k] for k in look.scores.argmax(1)]
    assert named == [
        f"a {COLOUR_NAMES[5]} {CATEGORIES[3]}",
        f"a {COLOUR_NAMES[0]} {CATEGORIES[16]}",
    ]
    assert look.accepted.tolist() == [True, False]
    assert look.scores.shape == (2, 136)
    category, colour = recognise(net, torch.zeros(2, 3, 64, 64))
    assert (category.tolist(), colour.tolist()) == ([3, 16], [5, 0])


def test_right_answers_are_one_prompt_or_one_of_every_colour():
    target = Target("text", "", "car", "green")
    assert [prompts()[k] for k in right_answers(target)] == ["a green car"]
    of_sound = right_answers(Target("audio", "", "car", None))
    assert [prompts()[k].split()[-1] for k in of_sound] == ["car"] * len(COLOUR_NAMES)


def share_right(judge, mesh, category, colour):
    look = judge.look(views_of(mesh, around(12)).image)
    right = look.scores.argmax(1) == right_answers(Target("text", "", category, colour))[0]
    return right.float().mean(), (right & look.accepted).float().mean()


@pytest.mark.parametrize("number", [0, 1])
def test_both_judges_tell_real_objects_from_near_misses(number):
    """Objects that they were not trained on; a handle that is out of sight cannot be missed."""
    judge = load_judges(MINI)[number]
    seeded = [torch.Generator().manual_seed(2**40 + k) for k in range(12)]
    real, wrong = [], []
    for k, generator in enumerate(seeded):
        category = ("mug", "chair", "rocket", "duck")[k % 4]
        colour = COLOUR_NAMES[k % 8]
        kind = ("missing_part", "revolution")[k % 2]
        real.append(share_right(judge, build(category, colour, generator), category, colour))
        spoiled = build_near_miss(category, colour, kind, generator)
        wrong.append(share_right(judge, spoiled, category, colour))
    real, wrong = torch.tensor(real).mean(0), torch.tensor(wrong).mean(0)
    assert real[0] > 0.9
    assert real[1] > 0.75
    assert wrong[1] < 0.3


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("fault", "share"), [("blurred", 0.1), ("blotched", 0.35)])
def test_both_judges_see_faults_of_pictures(number, fault, share):
    judge, accepted = load_judges(MINI)[number], []
    for k, category in enumerate(("mug", "house", "car", "duck", "robot", "drum")):
        generator = torch.Generator().manual_seed(2**40 + k)
        views = views_of(build(category, COLOUR_NAMES[k], generator), around(12))
        made = IMAGE_FAULTS[fault](views.image, views.mask[:, None].float(), generator)
        accepted.append(judge.look(made).accepted.float().mean())
    assert torch.stack(accepted).mean() < share


def test_the_surface_of_a_ball_is_its_sphere_and_covers_it():
    radius = 0.5
    points = mesh_surface(Mesh(*sphere(4, radius)))
    assert (points.norm(dim=1) - radius).abs().max() < 0.01
    directions = torch.nn.functional.normalize(
        torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    # below −60° of latitude it is seen by nobody
    visible = directions[directions[:, 2] > -0.85]
    assert torch.cdist(visible * radius, points).amin(1).max() < 0.06


def as_textured(mesh, directory):
    """An object of the world as a GLB with one colour, read back."""
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    unwrapped = unwrap(Mesh(vertices, faces), 64)
    path = directory / "mesh.glb"
    write_glb(path, unwrapped, bake(unwrapped, lambda x: torch.full((len(x), 3), 0.5), 64))
    return read_glb(path)


@pytest.fixture(scope="module")
def world(judge):
    return MiniWorld(judge, load_convnet(MINI.part("view")))


def run_with(folder, target):
    (folder / "target.json").write_text(json.dumps(target.plain()))
    return folder


def figures(world, run, mesh):
    views = mesh.views(around(2 * VIEWS), 64)
    return world.figures(run, {}, mesh, views, world.judge.look(views.image))


def test_a_real_object_is_nearest_to_itself(world, tmp_path):
    run = run_with(tmp_path, Target("text", "a red car", "car", "red"))
    mesh = as_textured(real_objects("car", "red").meshes[2], tmp_path)
    found = figures(world, run, mesh)
    assert found["iou"] > 0.95
    assert found["chamfer"] < min(0.012, found["chamfer_real"])
    assert found["iou"] > found["iou_real"]
    assert found["silhouette_change"] == pytest.approx(found["silhouette_change_real"], abs=0.15)
    assert found["fronts_real"] >= 1


def test_a_turned_object_is_as_near(world, tmp_path):
    run = run_with(tmp_path, Target("text", "a red car", "car", "red"))
    mesh = as_textured(real_objects("car", "red").meshes[2], tmp_path)
    x, y, z = mesh.mesh.vertices.unbind(1)
    quarter = Mesh(torch.stack([-y, x, z], 1), mesh.mesh.faces)
    turned = figures(world, run, TexturedMesh(quarter, mesh.uv, mesh.texture))
    assert turned["iou"] > 0.93
    assert turned["chamfer"] < 0.02


def test_a_ball_is_no_car(world, tmp_path):
    run = run_with(tmp_path, Target("text", "a red car", "car", "red"))
    path = tmp_path / "mesh.glb"
    unwrapped = unwrap(Mesh(*sphere(3, 0.5)), 64)
    write_glb(path, unwrapped, bake(unwrapped, lambda x: torch.full((len(x), 3), 0.5), 64))
    found = figures(world, run, read_glb(path))
    assert found["silhouette_change"] < 0.02 < 0.2 < found["silhouette_change_real"]
    assert found["iou"] < found["iou_real"] - 0.1
    assert found["chamfer"] > 2 * found["chamfer_real"]
    assert found["kernel_distance"] > found["kernel_distance_real"]
    assert found["components"] == 1


def test_kernel_distance_is_least_for_the_real_thing(world):
    real = real_objects("duck", "yellow")
    look = Look(real.features(world.judge)[0], torch.zeros(1, 136))
    assert look.features.shape == (VIEWS, 128)
    expected = real.expected
    assert set(expected) == {"silhouette_change", "colour_change", "iou", "chamfer"}
    assert 0.5 < expected["iou"] < 1


def test_what_a_run_should_have_made(tmp_path):
    config = {"prompt": {"text": "a blue bell"}}
    assert target_of_run(tmp_path, config) == Target("text", "a blue bell", "bell", "blue")
    saved = Target("audio", "", "bell", None, 1)
    assert target_of_run(run_with(tmp_path, saved), config) == saved
    (tmp_path / "target.json").write_text('{"kind": "text"}')
    with pytest.raises(XBindError, match="is damaged"):
        target_of_run(tmp_path, config)
