"""The 2D prior's denoising error, in closed form."""

from types import SimpleNamespace

import pytest
import torch

from xbind.algorithm.prior_error import prior_errors
from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(torch.linspace(0.999, 0.01, 100), "v_prediction")
LABELS = torch.tensor([[2.0, 3.0]])


class Vae:
    """Its latents are the images, in [−1, 1]."""

    config = SimpleNamespace(scaling_factor=1.0)

    def encode(self, x):
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: x))


def unclip_of(predict, calls=None):
    """A prior that predicts v = predict(z_t, α, σ)."""

    class Unet:
        config = SimpleNamespace(in_channels=3, sample_size=4, class_embed_type="projection")

        def __call__(self, z, t, context, *, class_labels, return_dict):
            assert torch.equal(class_labels, LABELS.expand(len(z), -1))
            if calls is not None:
                calls.append(len(z))
            return (predict(z, SCHEDULE.alpha(t), SCHEDULE.sigma(t)),)

    return SimpleNamespace(
        unet=Unet(), vae=Vae(), schedule=SCHEDULE, null_context=torch.zeros(1, 1, 2)
    )


def seeded():
    return torch.Generator().manual_seed(3)


def errors_of(unclip, images, savings=FASTEST, pairs=2):
    return prior_errors(
        images, LABELS, unclip, timesteps=(20, 60), pairs=pairs, generator=seeded(), savings=savings
    )


IMAGES = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def test_a_prior_that_knows_one_picture_errs_by_the_distance_from_it():
    """v = α ε − σ c with ε = (z_t − α c) / σ: ẑ = c, whatever the noise and the timestep."""
    c = 2 * IMAGES[1] - 1
    unclip = unclip_of(lambda z, a, s: a * (z - a * c) / s - s * c)
    distance = (2 * IMAGES - 1 - c).square().sum((1, 2, 3))
    found = errors_of(unclip, IMAGES)
    torch.testing.assert_close(found, distance.expand(2, 3), atol=1e-4, rtol=1e-4)


def test_a_pair_of_noises_is_opposite():
    """v = 0: ẑ = α z_t. Over ±ε the cross term vanishes: (α² − 1)² z² + α² σ² ε²."""
    found = errors_of(unclip_of(lambda z, a, s: 0 * z), IMAGES, pairs=1)
    noises = torch.randn(2, 1, 1, 3, 4, 4, generator=seeded())[:, 0]
    z = 2 * IMAGES - 1
    for row, t, noise in zip(found, (20, 60), noises, strict=True):
        a2 = SCHEDULE.alphas_cumprod[t]
        want = (a2 - 1) ** 2 * z.square() + a2 * (1 - a2) * noise.square()
        torch.testing.assert_close(row, want.sum((1, 2, 3)))


@pytest.mark.parametrize(
    ("savings", "rows"),
    [
        (FASTEST, 6),
        (Savings(split_guidance=True), 3),
        (Savings(one_at_a_time=True), 2),
        (Savings(split_guidance=True, one_at_a_time=True), 1),
    ],
)
def test_every_call_has_the_batch_of_guided_sampling(savings, rows):
    """An engine has one batch size; the errors do not depend on how it is filled."""
    calls = []
    unclip = unclip_of(lambda z, a, s: z.square() - s, calls)
    found = errors_of(unclip, IMAGES, savings)
    assert set(calls) == {rows}
    assert sum(calls) == 3 * 2 * 2 * 2  # images, timesteps, pairs, signs
    torch.testing.assert_close(found, errors_of(unclip, IMAGES))
