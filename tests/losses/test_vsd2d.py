"""VSD as a guidance step: against SDS, by finite differences, and as it converges."""

import pytest
import torch
from guidance_fakes import tiny_unet, tiny_vae

from xbind.diffusion.schedule import NoiseSchedule, alphas_cumprod, scaled_linear_betas
from xbind.losses.microbatch import MicroBatched
from xbind.losses.sds2d import Sds2d
from xbind.losses.vsd2d import Vsd2d

RANK = 2
ALPHAS = alphas_cumprod(scaled_linear_betas()).double()
SHARED = ("theta", "class_labels", "null_context", "context_theta")
KINDS = ("v_prediction", "epsilon", "sample")


def networks():
    return tiny_vae().double(), tiny_unet().double()


def make(kind="v_prediction", *, two_passes=False, gradient_scale=1.0):
    return Vsd2d(
        *networks(), NoiseSchedule(ALPHAS, kind), latent_px=2, cross_attention=True,
        two_passes=two_passes, gradient_scale=gradient_scale,
    )  # fmt: skip


@pytest.fixture
def feeds(rng):
    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    size, own = make().estimator.size(RANK), torch.Generator().manual_seed(4)
    return {
        "image": draw(2, 3, 12, 12).sigmoid(),
        "theta": 0.1 * draw(size),
        "noise": draw(2, 4, 8, 8),
        "t": torch.tensor([300, 700]),
        "noise_theta": draw(2, 4, 8, 8),
        "t_theta": torch.tensor([850, 90]),
        "class_labels": draw(1, 12),
        "context": draw(2, 3, 12),
        "null_context": draw(1, 3, 12),
        "context_theta": torch.randn(1, 3, 12, generator=own, dtype=torch.float64),
        "camera": draw(2, 16),
        "camera_theta": draw(2, 16),
        "cfg_scale": torch.tensor(7.5, dtype=torch.float64),
        "weight": torch.tensor([0.7, 1.3], dtype=torch.float64),
    }


def test_inputs_are_named_in_order(feeds):
    assert make().inputs == tuple(feeds)


@pytest.mark.parametrize("kind", KINDS)
def test_with_the_true_noise_as_its_estimate_it_is_sds(feeds, kind, monkeypatch):
    """ε_φ := ε: the estimate of z is z itself."""
    step = make(kind)
    z = step.vae.encode(2 * _resized(feeds["image"]) - 1).latent_dist.mode() * 0.18215
    said = {"v_prediction": None, "epsilon": feeds["noise"], "sample": z}[kind]
    if said is None:
        a2 = ALPHAS[feeds["t"]].view(-1, 1, 1, 1)
        said = a2.sqrt() * feeds["noise"] - (1 - a2).sqrt() * z
    calls = iter([said])
    forward = step.estimator.forward

    def estimate(theta, *told):
        return next(calls, None) if not theta.requires_grad else forward(theta, *told)

    monkeypatch.setattr(step.estimator, "forward", estimate)
    loss, x_bar, *_ = step(**feeds)
    sds = Sds2d(*networks(), NoiseSchedule(ALPHAS, kind), latent_px=2, image_term=False)
    want_loss, want_x_bar = sds(**{name: feeds[name] for name in sds.inputs})
    torch.testing.assert_close(loss, want_loss)
    torch.testing.assert_close(x_bar, want_x_bar)


def _resized(image):
    return torch.nn.functional.interpolate(image, 16, mode="bilinear", align_corners=False)


def test_the_prior_itself_as_estimator_leaves_the_guidance_alone(feeds):
    """θ at its start, s = 1, the same text: nothing pulls; at s the pull is (s − 1) (ε_c − ε_u)."""
    step = make()
    feeds["theta"] = step.estimator.start(RANK, torch.Generator().manual_seed(0)).double()
    feeds["context"] = feeds["context_theta"].expand(2, -1, -1)
    plain = feeds | {"cfg_scale": torch.tensor(1.0, dtype=torch.float64)}
    loss, x_bar, *_ = step(**plain)
    assert float(loss) < 1e-20
    assert float(x_bar.abs().max()) < 1e-12
    two, four = (
        step(**feeds | {"cfg_scale": torch.tensor(s, dtype=torch.float64)})[1] for s in (2.0, 4.0)
    )
    torch.testing.assert_close(four, 3 * two)


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimator_s_loss_and_gradient(feeds, kind):
    """The loss is written out view by view; its gradient is that of finite differences."""
    step = make(kind)
    _, _, loss_theta, theta_bar = step(**feeds)

    def loss_of(theta):
        z = step.vae.encode(2 * _resized(feeds["image"]) - 1).latent_dist.mode() * 0.18215
        total = 0.0
        for b in range(2):
            rows = slice(b, b + 1)
            t, noise = feeds["t_theta"][rows], feeds["noise_theta"][rows]
            alpha, sigma = ALPHAS[t].sqrt(), (1 - ALPHAS[t]).sqrt()
            z_t = alpha * z[rows] + sigma * noise
            target = {
                "epsilon": noise, "sample": z[rows], "v_prediction": alpha * noise - sigma * z[rows]
            }[kind]  # fmt: skip
            said = step.estimator(
                theta, z_t, t, feeds["class_labels"], feeds["context_theta"],
                feeds["camera_theta"][rows],
            )  # fmt: skip
            total += float((said - target).square().mean()) / 2
        return total

    assert float(loss_theta) == pytest.approx(loss_of(feeds["theta"]), rel=1e-10)
    direction = torch.randn(
        len(theta_bar), dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    slope = (
        loss_of(feeds["theta"] + 1e-5 * direction) - loss_of(feeds["theta"] - 1e-5 * direction)
    ) / 2e-5
    assert float(theta_bar @ direction) == pytest.approx(slope, rel=1e-6)


def test_neither_loss_knows_the_other_s_feeds(feeds, rng):
    step = make()
    whole = step(**feeds)
    for name in ("noise_theta", "t_theta", "camera_theta"):
        other = feeds | {name: feeds[name].flip(0)}
        for same, before in zip(step(**other)[:2], whole[:2], strict=True):
            assert torch.equal(same, before)
    for name in ("noise", "t", "camera", "context", "weight"):
        other = feeds | {name: feeds[name].flip(0)}
        for same, before in zip(step(**other)[2:], whole[2:], strict=True):
            assert torch.equal(same, before)
        assert not torch.equal(step(**other)[1], whole[1])


def test_the_camera_and_the_view_s_text_reach_one_network_each(feeds):
    """The word is the prior's alone, the camera the estimator's alone."""
    step = make()
    zeros = feeds | {"theta": torch.zeros_like(feeds["theta"])}
    turned = zeros | {"camera": 2 * zeros["camera"]}
    assert torch.equal(step(**zeros)[1], step(**turned)[1])
    assert not torch.equal(step(**feeds)[1], step(**feeds | {"camera": 2 * feeds["camera"]})[1])


@pytest.mark.parametrize("variant", [{"two_passes": True}, {"gradient_scale": 1024.0}])
def test_variants_compute_the_same(feeds, variant):
    for got, want in zip(make(**variant)(**feeds), make()(**feeds), strict=True):
        torch.testing.assert_close(got, want)


def test_one_view_at_a_time_is_the_same(feeds):
    step = make()
    single = MicroBatched(step, 1, shared=SHARED)
    image = feeds.pop("image")
    for got, want in zip(single(image, **feeds), step(image, **feeds), strict=True):
        torch.testing.assert_close(got, want)


def test_it_ignores_the_caller_s_autograd_state(feeds):
    want = make()(**feeds)
    with torch.no_grad():
        got = make()(**feeds)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad
        assert not b.requires_grad


def test_training_the_estimator_lowers_its_loss(feeds):
    """Gradient descent on θ by the step's own gradient, with one batch."""
    step, losses = make(), []
    feeds["theta"] = step.estimator.start(RANK, torch.Generator().manual_seed(0)).double()
    for _ in range(40):
        *_, loss_theta, theta_bar = step(**feeds)
        losses.append(float(loss_theta))
        feeds["theta"] = feeds["theta"] - 0.2 * theta_bar / theta_bar.norm()
    assert losses[-1] < 0.8 * losses[0]
