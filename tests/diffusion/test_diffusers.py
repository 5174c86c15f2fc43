"""The steps on real network classes, tiny and random: gradients, and a trace of the whole step."""

import pytest
import torch
from diffusers import DDIMScheduler
from guidance_fakes import tiny_unet, tiny_vae
from torch.fx.experimental.proxy_tensor import make_fx

from xbind.diffusion.schedule import NoiseSchedule
from xbind.losses.cds2d import Cds2d
from xbind.losses.sds2d import Sds2d
from xbind.losses.sds3d import Sds3d

SCALE = 0.18215


def sampler(prediction_type):
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        clip_sample=False,
    )


def schedule(prediction_type):
    return NoiseSchedule(sampler(prediction_type).alphas_cumprod, prediction_type)


def sds2d_step():
    return Sds2d(tiny_vae(), tiny_unet(), schedule("v_prediction"), latent_px=2)


def sds2d_feeds(seed, t=(300, 700)):
    rng = torch.Generator().manual_seed(seed)
    return {
        "image": torch.rand(2, 3, 12, 12, generator=rng),
        "noise": torch.randn(2, 4, 8, 8, generator=rng),
        "t": torch.tensor(t),
        "class_labels": torch.randn(2, 12, generator=rng),
        "context": torch.randn(2, 3, 12, generator=rng),
        "null_context": torch.randn(1, 3, 12, generator=rng),
        "cfg_scale": 1 + 4 * torch.rand((), generator=rng),
        "weight": torch.rand(2, generator=rng),
        "w_img": torch.rand((), generator=rng),
    }


def explicit_surrogate(step, feeds, x, predict, sampler):
    """Eq. 5's loss the usual way: one view after the other, the sampler estimating ẑ."""
    x = torch.nn.functional.interpolate(x, (16, 16), mode="bilinear", align_corners=False)
    z = SCALE * step.vae.encode(2 * x - 1).latent_dist.mean
    total = 0.0
    for b, t in enumerate(feeds["t"]):
        z_t = sampler.add_noise(z[b : b + 1].detach(), feeds["noise"][b : b + 1], t[None])
        with torch.no_grad():
            prediction = predict(b, z_t, t[None])
            z_hat = sampler.step(prediction, int(t), z_t).pred_original_sample
            x_hat = (step.vae.decode(z_hat / SCALE).sample / 2 + 0.5).clamp(0, 1)
        latent = 0.5 * (z[b] - z_hat[0]).square().sum()
        image = (x[b] - x_hat[0]).square().mean() if "w_img" in feeds else 0.0
        total = total + feeds["weight"][b] * (latent + feeds.get("w_img", 0.0) * image)
    return total / len(x)


def check(step, feeds, predict, sampler):
    sampler.set_timesteps(1000)
    loss, x_bar = step(**feeds)[:2]
    x = feeds["image"].clone().requires_grad_()
    want = explicit_surrogate(step, feeds, x, predict, sampler)
    (want_bar,) = torch.autograd.grad(want, x)
    torch.testing.assert_close(loss, want.detach(), rtol=1e-4, atol=0)
    error = (x_bar - want_bar).norm() / want_bar.norm()
    assert error < 1e-4


@pytest.mark.parametrize("labels", [12, None])
def test_sds2d_gradient_is_autograd_of_the_surrogate(labels):
    """Also of a prior without class embedding, which reads text alone."""
    kind, feeds = "v_prediction" if labels else "epsilon", sds2d_feeds(0)
    step = Sds2d(tiny_vae(), tiny_unet(labels=labels), schedule(kind), latent_px=2)
    given = {name: feeds[name] for name in step.inputs}
    assert ("class_labels" in given) == (labels is not None)

    def predict(b, z_t, t):
        def run(labels, context):
            return step.prior.unet(z_t, t, context, class_labels=labels).sample

        cond = run(feeds["class_labels"][b : b + 1], feeds["context"][b : b + 1])
        uncond = run(torch.zeros(1, 12), feeds["null_context"])
        return uncond + feeds["cfg_scale"] * (cond - uncond)

    check(step, given, predict, sampler(kind))


@pytest.mark.parametrize("labels", [12, None])
def test_sds3d_gradient_is_autograd_of_the_surrogate(labels):
    step = Sds3d(tiny_vae(), tiny_unet(8, labels), schedule("epsilon"), image_size=16)
    rng = torch.Generator().manual_seed(3)
    feeds = sds2d_feeds(2)
    for name in ("w_img", "class_labels", "context", "null_context"):
        del feeds[name]
    feeds["token"] = torch.randn(2, 1, 12, generator=rng)
    feeds["reference_latent"] = torch.randn(1, 4, 8, 8, generator=rng)

    def predict(b, z_t, t):
        def run(token, latent):
            given = {"class_labels": token[:, 0]} if labels else {}
            return step.prior.unet(torch.cat([z_t, latent], 1), t, token, **given).sample

        token, latent = feeds["token"][b : b + 1], feeds["reference_latent"]
        cond, uncond = run(token, latent), run(0 * token, 0 * latent)
        return uncond + feeds["cfg_scale"] * (cond - uncond)

    check(step, feeds, predict, sampler("epsilon"))


def test_cds2d_gradient_is_the_encoder_s_vjp_of_eq_3():
    step = Cds2d(tiny_vae(), tiny_unet(), schedule("v_prediction"), latent_px=2)
    feeds, solver = sds2d_feeds(4), sampler("v_prediction")
    solver.set_timesteps(1000)
    names = ("class_labels", "context", "null_context", "cfg_scale", "weight")
    given = {k: feeds[k] for k in names}
    eps_star, t_1, t_2 = feeds["noise"][:1], feeds["t"], feeds["t"] - 150
    clamp = torch.tensor(0.02)
    loss, x_bar = step(feeds["image"], eps_star, t_1, t_2, **given, clamp=clamp)

    def predict_noise(b, z_tilde, t):
        a2 = solver.alphas_cumprod[t]
        z_t = a2.sqrt() * z_tilde
        labels, context = feeds["class_labels"][b : b + 1], feeds["context"][b : b + 1]
        told = ((labels, context), (0 * labels, feeds["null_context"]))
        cond, uncond = (step.prior.unet(z_t, t, text, class_labels=c).sample for c, text in told)
        v = uncond + feeds["cfg_scale"] * (cond - uncond)
        z_hat = solver.step(v, int(t), z_t).pred_original_sample
        return (z_t - a2.sqrt() * z_hat) / (1 - a2).sqrt()

    image = feeds["image"].clone().requires_grad_()
    x = torch.nn.functional.interpolate(image, (16, 16), mode="bilinear", align_corners=False)
    z = SCALE * step.vae.encode(2 * x - 1).latent_dist.mean
    z_bar = torch.zeros_like(z)
    for b in range(2):
        s_1, s_2 = ((1 / solver.alphas_cumprod[t[b]] - 1).sqrt() for t in (t_1, t_2))
        z_1 = z[b : b + 1].detach() + s_1 * eps_star
        eps_1 = predict_noise(b, z_1, t_1[b])
        eps_2 = predict_noise(b, z_1 + (s_2 - s_1) * eps_1, t_2[b])
        z_bar[b] = (feeds["weight"][b] * (eps_1 - eps_2)).clamp(-0.02, 0.02)[0] / 2
    assert 0 < (z_bar.abs() == 0.01).sum() < z_bar.numel()  # the bound binds, but not everywhere
    (want,) = torch.autograd.grad(z, image, z_bar)
    torch.testing.assert_close(loss, (2 * z_bar).square().sum() / 2 / 2, rtol=1e-3, atol=0)
    assert (x_bar - want).norm() / want.norm() < 1e-3


def test_a_traced_step_agrees_on_other_feeds():
    """The whole step, gradient included, as one graph: nothing of the traced input stays in it."""
    step, drawn = sds2d_step(), sds2d_feeds(5)
    names = tuple(drawn)
    graph = make_fx(lambda *given: step(**dict(zip(names, given, strict=True))), pre_dispatch=False)
    graph = graph(*drawn.values())
    feeds = sds2d_feeds(6, t=(20, 980))
    for got, want in zip(graph(*feeds.values()), step(**feeds), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)
