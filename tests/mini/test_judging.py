"""What is measured of a mesh: the file as a viewer shows it, and figures with known values."""

import pytest
import torch

from tests.support.spheres import sphere
from xbind.mesh.files import bake, unwrap, write_glb
from xbind.mesh.mesh import Mesh
from xbind.mini.judging import (
    VIEWS,
    Views,
    best_iou,
    figures_of,
    iou,
    judged_views,
    quarter_turn,
    read_glb,
)
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES


def compass(points):
    """Red towards +x (the front), green towards +y, blue elsewhere; a white top."""
    x, y, z = points.unbind(1)
    colour = torch.zeros(len(points), 3)
    colour[:, 2] = 1
    colour[x > 0.25] = torch.tensor([1.0, 0, 0])
    colour[y > 0.25] = torch.tensor([0.0, 1, 0])
    colour[z > 0.4] = 1.0
    return colour


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    path = tmp_path_factory.mktemp("mesh") / "mesh.glb"
    unwrapped = unwrap(Mesh(*sphere(3, 0.5)), 256)
    write_glb(path, unwrapped, bake(unwrapped, compass, 256))
    return read_glb(path)


def test_a_glb_is_seen_the_right_way_round(seen):
    image = judged_views(seen).image
    middle = image[:, :, 32, 32]
    quarter = VIEWS // 4
    want = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    torch.testing.assert_close(middle[::quarter], want, atol=0.02, rtol=0)
    above = image[0, :, 17, 32]  # row 0 is the top
    torch.testing.assert_close(above, torch.ones(3), atol=0.02, rtol=0)
    assert torch.equal(image[:, :, 0, 0], torch.ones(VIEWS, 3))


def test_faces_are_counted_and_seams_are_no_gaps(seen):
    assert len(seen.mesh.faces) == 8 * 4**3
    assert seen.components == 1


def bar(views, wide, narrow, tall=4):
    """Silhouettes of a bar that looks wide from front and back, narrow from the sides."""
    mask = torch.zeros(views, 16, 16, dtype=torch.bool)
    for k in range(views):
        half = (wide if k % (views // 2) == 0 else narrow) // 2
        mask[k, :tall, 8 - half : 8 + half] = True
    image = torch.where(mask[:, None], 0.0, 1.0).expand(-1, 3, -1, -1)
    return Views(image.contiguous(), mask)


def test_quarter_turn_of_a_bar():
    silhouette, colour = quarter_turn(bar(4, wide=8, narrow=2))
    assert silhouette == pytest.approx(1 - 2 / 8)
    assert colour == pytest.approx(100 * (8 - 2) * 4 / 256)


def test_a_body_of_revolution_does_not_change():
    assert quarter_turn(bar(8, wide=6, narrow=6)) == (0, 0)


def test_best_iou_finds_the_turn_and_the_object():
    views = bar(8, wide=8, narrow=2)
    turned = Views(views.image.roll(3, 0), views.mask.roll(3, 0))
    assert iou(views.mask, turned.mask) < 0.9
    assert best_iou(views, [bar(8, wide=6, narrow=6), turned]) == 1


class Judge:
    """Names the first category and colour in `right` of its views, the second ones in the rest."""

    def __init__(self, right):
        self.right = right

    def __call__(self, image):
        logits = torch.zeros(len(image), len(CATEGORIES) + len(COLOUR_NAMES))
        first = torch.arange(len(image)) < self.right * len(image)
        logits[first, 0] = logits[~first, 1] = 1
        logits[:, len(CATEGORIES)] = 1
        return logits


@pytest.mark.parametrize(
    ("colour", "precision"), [(COLOUR_NAMES[0], 0.75), (COLOUR_NAMES[1], 0.0), (None, 0.75)]
)
def test_precision_counts_views_named_right(seen, colour, precision):
    figures = figures_of(seen, CATEGORIES[0], colour, Judge(0.75))
    assert figures.r_precision == precision
    assert figures.category_precision == 0.75


def test_real_objects_stand_beside(seen):
    figures = figures_of(seen, "car", "red", Judge(1))
    assert figures.silhouette_change < 0.01  # a ball
    assert 0.2 < figures.silhouette_change_real < 0.6  # cars are long
    assert figures.iou_nearest < figures.iou_real <= 1
