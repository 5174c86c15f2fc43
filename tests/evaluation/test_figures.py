"""Every figure against values that follow from a construction."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from xbind.evaluation.figures import (
    best_turn,
    chamfer,
    count_fronts,
    iou,
    kernel_distance,
    kernel_distance_of_groups,
    kernel_distances_of_each,
    mean_cosine,
    nearest_distances,
    quarter_turn,
    right_at_1,
    thinned,
    turned,
)


def test_r_at_1_of_a_constructed_pool():
    scores = torch.tensor([[3.0, 1, 2], [0, 5, 4], [0, 1, 2], [9, 8, 7]])
    assert right_at_1(scores, [0]).tolist() == [True, False, False, True]
    assert right_at_1(scores, (2, 1)).tolist() == [False, True, True, False]
    assert not right_at_1(scores, ()).any()


def test_mean_cosine_is_the_mean_of_cosines_at_known_angles():
    degrees = torch.tensor([0.0, 60.0, 90.0, 180.0])
    angles = torch.deg2rad(degrees)
    a = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([[1.0], [3], [0.5], [7]])
    assert mean_cosine(a, torch.tensor([2.0, 0.0])) == pytest.approx(
        (1 + 0.5 + 0 - 1) / 4, abs=1e-6
    )


def sphere_points(radius, count, seed):
    x = np.random.default_rng(seed).normal(size=(count, 3))
    return torch.from_numpy(radius * x / np.linalg.norm(x, axis=1, keepdims=True)).float()


def test_chamfer_of_concentric_spheres_is_the_difference_of_radii(rng):
    a, b = sphere_points(0.5, 20_000, 0), sphere_points(0.8, 20_000, 1)
    assert chamfer(a, b) == pytest.approx(0.3, abs=2e-3)
    assert chamfer(b, a) == pytest.approx(chamfer(a, b))
    assert chamfer(a, a) == 0


def test_chamfer_averages_both_ways():
    near, far = torch.zeros(1, 3), torch.tensor([[0.0, 0, 0], [4.0, 0, 0]])
    assert chamfer(near, far) == pytest.approx(0.5 * (0 + (0 + 4) / 2))


def test_thinning_makes_density_not_count():
    dense = torch.rand(5000, 3) * 0.019 + 0.0005
    assert len(thinned(dense, 0.02)) == 1
    apart = torch.tensor([[0.01, 0.01, 0.01], [0.03, 0.01, 0.01], [-0.01, 0.01, 0.01]])
    assert len(thinned(torch.cat([apart, apart]), 0.02)) == 3


def test_turned_agrees_with_scipy(rng):
    points = torch.randn(10, 3, generator=rng)
    want = Rotation.from_euler("z", 37, degrees=True).apply(points.numpy())
    np.testing.assert_allclose(turned(points, 37.0).numpy(), want, atol=1e-6)


def test_kernel_distance_is_unbiased_for_equal_and_grows_with_a_shift(rng):
    def draw(n, shift=0.0):
        return torch.randn(n, 8, generator=rng) + shift

    same = [kernel_distance(draw(60), draw(60)) for _ in range(200)]
    spread = np.std(same) / math.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * spread  # zero on average, of either sign
    assert min(same) < 0
    near, far = (
        np.mean([kernel_distance(draw(60), draw(60, s)) for _ in range(20)]) for s in (0.5, 1.0)
    )
    assert 10 * spread < near < far


def test_kernel_distance_agrees_with_the_expectation_over_two_points():
    """Two points each: pairs within a set are the one other point."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    y = torch.tensor([[2.0, 0.0], [2.0, 2.0]])

    def k(a, b):
        return (float(a @ b) / 2 + 1) ** 3

    want = k(x[0], x[1]) + k(y[0], y[1]) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(want)


def test_kernel_distance_of_groups_of_one_is_that_of_pictures(rng):
    x, y = torch.randn(7, 5, generator=rng), torch.randn(9, 5, generator=rng)
    want = kernel_distance(x, y)
    assert kernel_distance_of_groups(x[:, None], y[:, None]) == pytest.approx(want)


def test_views_that_are_alike_do_not_bias_the_distance_of_groups(rng):
    def draw(groups, members, shift=0.0):
        objects = torch.randn(groups, 1, 4, generator=rng) + shift
        return objects + 0.1 * torch.randn(groups, members, 4, generator=rng)

    same = [kernel_distance_of_groups(draw(6, 8), draw(5, 4)) for _ in range(400)]
    error = np.std(same) / len(same) ** 0.5
    assert abs(np.mean(same)) < 3 * error
    plain = [
        kernel_distance(draw(6, 8).flatten(0, 1), draw(5, 4).flatten(0, 1)) for _ in range(400)
    ]
    assert np.mean(plain) > 6 * error
    shifted = [kernel_distance_of_groups(draw(6, 8), draw(5, 4, 1.0)) for _ in range(100)]
    assert np.mean(shifted) > 6 * error


def test_kernel_distances_of_pictures_add_up_to_that_of_their_set(rng):
    """Their mean, less half of the mean squared distance between two of them."""
    x, y = (torch.randn(n, 8, generator=rng).double() for n in (7, 30))
    apart = [
        (a @ a / 8 + 1) ** 3 + (b @ b / 8 + 1) ** 3 - 2 * (a @ b / 8 + 1) ** 3
        for i, a in enumerate(x) for b in x[:i]
    ]  # fmt: skip
    want = kernel_distance(x, y) + float(torch.stack(apart).mean()) / 2
    assert kernel_distances_of_each(x, y).mean().item() == pytest.approx(want)


def test_the_nearest_of_three():
    y = torch.tensor([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    x = torch.tensor([[3.0, 3.0], [-3.0, -4.0]])
    assert nearest_distances(x, y).tolist() == pytest.approx([math.sqrt(1 / 2), math.sqrt(25 / 2)])


def bar(views, wide, narrow, tall=4):
    """Silhouettes of a bar that looks wide from front and back, narrow from the sides."""
    mask = torch.zeros(views, 16, 16, dtype=torch.bool)
    for k in range(views):
        half = (wide if k % (views // 2) == 0 else narrow) // 2
        mask[k, :tall, 8 - half : 8 + half] = True
    image = torch.where(mask[:, None], 0.0, 1.0).expand(-1, 3, -1, -1)
    return image.contiguous(), mask


def test_quarter_turn_of_a_bar():
    silhouette, colour = quarter_turn(*bar(4, wide=8, narrow=2))
    assert silhouette == pytest.approx(1 - 2 / 8)
    assert colour == pytest.approx(100 * (8 - 2) * 4 / 256)


def test_a_body_of_revolution_does_not_change():
    assert quarter_turn(*bar(8, wide=6, narrow=6)) == (0, 0)


def test_best_turn_finds_the_object_and_its_turn():
    """Told apart by one view that is unlike the others."""
    mask = bar(8, wide=8, narrow=2)[1]
    mask[0, :8] = True
    other = mask.roll(-3, 0)
    assert iou(mask, other) < 0.9
    found, which, turn = best_turn(mask, [bar(8, wide=6, narrow=6)[1], other])
    assert (found, which, turn) == (1, 1, 3)
    assert torch.equal(mask[5], other[5 - 3])


def seen_azimuths(true_azimuths, confidence=1.0):
    angle = torch.deg2rad(torch.tensor(true_azimuths, dtype=torch.float32))
    return confidence * torch.stack([angle.cos(), angle.sin()], 1)


def test_one_front_is_one_and_two_faces_are_two():
    around = np.arange(120) * 3.0
    right = ((around + 180) % 360) - 180
    assert count_fronts(seen_azimuths(right)) == 1
    janus = np.where(np.abs(right) > 90, right - 180 * np.sign(right), right)
    assert count_fronts(seen_azimuths(janus)) == 2
    everywhere = np.zeros(120)
    assert count_fronts(seen_azimuths(everywhere)) == 5  # 63° apart fits five times
    assert count_fronts(seen_azimuths(np.full(120, 90.0))) == 0
    assert count_fronts(seen_azimuths(right, confidence=0.3)) == 0


def test_where_the_front_is_does_not_count():
    around = ((np.arange(120) * 3.0 + 180) % 360) - 180
    for turn in (10, 50, 119):
        assert count_fronts(seen_azimuths(np.roll(around, turn))) == 1
