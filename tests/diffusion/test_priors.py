"""What each prior tells its network with and without the condition, and how the two are mixed."""

import torch
from guidance_fakes import ExactUNet, exact_noise

from xbind.diffusion.cfg import classifier_free
from xbind.diffusion.priors import Prior2d, Zero123Prior
from xbind.diffusion.schedule import NoiseSchedule

ALPHAS = torch.linspace(0.95, 0.1, 10, dtype=torch.float64)
T = torch.tensor([2, 7])
SCALE = torch.tensor(3.0, dtype=torch.float64)


def draw(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_scale_one_is_the_condition_and_zero_is_none(rng):
    cond, uncond = draw(rng, 2, 2, 4, 3, 3)
    assert torch.equal(classifier_free(cond, uncond, torch.tensor(0.0)), uncond)
    torch.testing.assert_close(classifier_free(cond, uncond, torch.tensor(1.0)), cond)
    want = 7.5 * cond - 6.5 * uncond
    torch.testing.assert_close(classifier_free(cond, uncond, torch.tensor(7.5)), want)


def test_the_2d_prior_guides_from_zero_labels_and_the_empty_prompt(rng):
    unet = ExactUNet(ALPHAS, "epsilon")
    context, null = draw(rng, 2, 7, 5), draw(rng, 1, 7, 5)
    z_t, labels = draw(rng, 2, 12, 3, 3), draw(rng, 2, 4)
    got = Prior2d(unet)(z_t, T, labels, context, null, SCALE)

    # The exact noise is linear in the mean, so guidance by s is a mean s times as far away.
    means = [SCALE * labels[:, :1, None, None]]
    want = exact_noise(z_t, ALPHAS[T].view(-1, 1, 1, 1), unet.s, means)
    torch.testing.assert_close(got, want)
    ((_, t, contexts, both),) = unet.calls
    assert t.tolist() == [2, 7, 2, 7]
    assert torch.equal(contexts, torch.cat([context, null, null]))
    assert torch.equal(both, torch.cat([labels, 0 * labels]))


def test_the_2d_prior_shares_one_condition_among_views(rng):
    prior, null = Prior2d(ExactUNet(ALPHAS, "epsilon")), draw(rng, 1, 7, 5)
    z_t, label, context = draw(rng, 2, 12, 3, 3), draw(rng, 1, 4), draw(rng, 1, 7, 5)
    one = prior(z_t, T, label, context, null, SCALE)
    each = prior(z_t, T, label.repeat(2, 1), context.repeat(2, 1, 1), null, SCALE)
    assert torch.equal(one, each)


def test_guidance_commutes_with_the_prediction_type(rng):
    z_t, labels, context = draw(rng, 2, 12, 3, 3), draw(rng, 2, 4), draw(rng, 1, 1, 1)
    noises = []
    for kind in ("epsilon", "v_prediction", "sample"):
        prior = Prior2d(ExactUNet(ALPHAS, kind))
        prediction = prior(z_t, T, labels, context, context, SCALE)
        noises.append(NoiseSchedule(ALPHAS, kind).noise_of(prediction, z_t, T))
    torch.testing.assert_close(noises[1], noises[0])
    torch.testing.assert_close(noises[2], noises[0])


def test_zero123_guides_from_a_zero_token_and_a_zero_latent(rng):
    unet = ExactUNet(ALPHAS, "epsilon")
    z_t, token, reference = draw(rng, 2, 12, 3, 3), draw(rng, 2, 1, 4), draw(rng, 1, 12, 3, 3)
    got = Zero123Prior(unet)(z_t, T, token, reference, SCALE)

    means = [SCALE * (token[:, 0, :1, None, None] + reference)]
    want = exact_noise(z_t, ALPHAS[T].view(-1, 1, 1, 1), unet.s, means)
    torch.testing.assert_close(got, want)
    ((sample, t, tokens, labels),) = unet.calls
    assert t.tolist() == [2, 7, 2, 7]
    assert torch.equal(sample[:, :12], torch.cat([z_t, z_t]))
    assert torch.equal(tokens, torch.cat([token, 0 * token]))
    assert torch.equal(labels, tokens[:, 0])


def test_zero123_gives_no_labels_to_a_network_that_takes_none(rng):
    class Plain(ExactUNet):
        def __init__(self):
            super().__init__(ALPHAS, "epsilon")
            self.config.class_embed_type = None

        def forward(self, sample, timestep, encoder_hidden_states, *, class_labels, return_dict):
            assert class_labels is None
            return (sample[:, :12],)

    z_t = draw(rng, 2, 12, 3, 3)
    got = Zero123Prior(Plain())(z_t, T, draw(rng, 2, 1, 4), draw(rng, 2, 12, 3, 3), SCALE)
    torch.testing.assert_close(got, z_t)
