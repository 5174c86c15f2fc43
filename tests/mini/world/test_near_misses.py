import numpy as np
import pytest
import torch

from xbind.mini.world.categories import CATEGORIES, build
from xbind.mini.world.near_misses import (
    FACE,
    HIDDEN,
    MISSING,
    NoNearMissError,
    build_near_miss,
    near_miss_kinds,
)
from xbind.mini.world.palette import COLOURS


def spoiled(category, kind, seed=0):
    return build_near_miss(category, "green", kind, torch.Generator().manual_seed(seed))


def count_parts(mesh):
    return len(np.unique(mesh.face_part))


@pytest.mark.parametrize("category", CATEGORIES)
def test_missing_parts_are_missing(category):
    whole = build(category, "green", torch.Generator().manual_seed(0))
    miss = spoiled(category, "missing_part")
    assert 0 < count_parts(miss) < count_parts(whole)
    assert miss.category == category
    assert np.linalg.norm(miss.vertices, axis=1).max() < 0.8001


def test_tables_name_categories():
    assert set(MISSING) == set(CATEGORIES)
    assert set(FACE) == {name for name in CATEGORIES if "two_faced" in near_miss_kinds(name)}


def test_revolution_is_round_and_as_wide_as_the_object():
    mesh = spoiled("chair", "revolution")
    radius = np.hypot(mesh.vertices[:, 0], mesh.vertices[:, 1])
    for z in np.unique(mesh.vertices[:, 2].round(4))[1:-1]:
        at_height = radius[np.abs(mesh.vertices[:, 2] - z) < 1e-3]
        at_height = at_height[at_height > 0.01]
        assert np.ptp(at_height) < 1e-3
    # A chair's seat is square: its corners, not its sides, give the outline.
    whole = build("chair", "green", torch.Generator().manual_seed(0))
    extent, original = np.ptp(mesh.vertices, axis=0), np.ptp(whole.vertices, axis=0)
    diagonal = np.hypot(original[0], original[1]) / original[2]
    assert extent[0] / extent[2] == pytest.approx(diagonal, rel=0.02)


def test_two_faced_duck_has_a_beak_on_either_side():
    mesh = spoiled("duck", "two_faced")
    orange = (mesh.colours[:, 0] > 0.5) & (mesh.colours[:, 2] < 0.2)
    x = mesh.vertices[orange, 0]
    assert x.max() > 0.5 * mesh.vertices[:, 0].max()
    assert x.min() < 0.5 * mesh.vertices[:, 0].min()


def albedos(mesh):
    """Part → colour relative to its brightest corner: the same in any light."""
    found = {}
    for part in np.unique(mesh.face_part):
        colours = mesh.colours.reshape(-1, 3, 3)[mesh.face_part == part].reshape(-1, 3)
        found[part] = colours[colours.sum(1).argmax()]
    return found


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_part_has_a_colour_that_it_never_has(category, seed):
    whole = albedos(build(category, "green", torch.Generator().manual_seed(seed)))
    miss = spoiled(category, "wrong_part_colour", seed)
    found = albedos(miss)
    assert whole.keys() == found.keys()
    changed = [k for k in whole if np.linalg.norm(whole[k] - found[k]) > 0.2]
    assert 0 < len(changed) < len(whole)
    for part in changed:
        ratios = [found[part] / np.array(colour) for colour in COLOURS.values()]
        assert min(np.ptp(ratio) for ratio in ratios) < 0.02  # a main colour, in some light
    area = np.zeros(len(whole))
    a, b, c = miss.vertices.reshape(-1, 3, 3).transpose(1, 0, 2)
    np.add.at(area, miss.face_part, 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1))
    assert area[changed].sum() > 0.03 * area.sum()
    greenish = [k for k in found if found[k][1] > 1.5 * max(found[k][0], found[k][2])]
    assert area[greenish].sum() > 0.4 * area[[k for k in whole if whole[k][1] > 1.5 * max(
        whole[k][0], whole[k][2])]].sum()  # fmt: skip


@pytest.mark.parametrize(("category", "hidden"), HIDDEN.items())
def test_parts_that_nobody_sees_keep_their_colour(category, hidden):
    for seed in range(12):
        found = albedos(spoiled(category, "wrong_part_colour", seed)).values()
        whole = albedos(build(category, "green", torch.Generator().manual_seed(seed))).values()
        ratios = [[np.ptp(one / np.array(hidden)) < 0.02 for one in of] for of in (found, whole)]
        assert sum(ratios[0]) == sum(ratios[1])


def test_kinds_that_would_not_be_wrong_are_refused():
    assert near_miss_kinds("drum") == ("missing_part", "wrong_part_colour")
    with pytest.raises(NoNearMissError, match="choose from missing_part, wrong_part_colour"):
        spoiled("drum", "revolution")
