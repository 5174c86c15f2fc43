"""Consistency distillation sampling with the unCLIP prior (Eq. 3)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.latents import Image, Vae, encode, latent_loss, resize
from xbind.diffusion.priors import Prior2d, UNet, condition_feeds
from xbind.diffusion.schedule import Latent, NoiseSchedule, SharedLatent, Timestep


class Cds2d(nn.Module):
    """Eq. 3 as a guidance step: image and feeds to loss and ∂loss/∂image."""

    outputs = ("loss", "x_bar")

    def __init__(
        self,
        vae: Vae,
        unet: UNet,
        schedule: NoiseSchedule,
        *,
        latent_px: int,
        two_passes: bool = False,
    ) -> None:
        """Freeze the networks; `latent_px` as in `Sds2d`: with the side of the feed `eps_star` it
        decides the size at which the prior sees the views.
        """
        super().__init__()
        self.vae = vae
        self.prior = Prior2d(unet, two_passes=two_passes)
        self.schedule = schedule
        self.latent_px = latent_px
        names = ("image", "eps_star", "t_1", "t_2", *condition_feeds(unet))
        self.inputs = (*names, "cfg_scale", "weight", "clamp")
        self.eval().requires_grad_(False)

    def forward(
        self,
        image: Image,
        eps_star: SharedLatent,
        t_1: Timestep,
        t_2: Timestep,
        context: Float[Tensor, "#b l c"],
        null_context: Float[Tensor, "1 l c"],
        cfg_scale: Float[Tensor, ""],
        weight: Float[Tensor, " b"],
        clamp: Float[Tensor, ""],
        class_labels: Float[Tensor, "#b d2"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Follow the difference of two noise predictions along one deterministic ODE step.

        Eq. 3:  z_t₁ = z_p + σ̃₁ ε*,   ẑ_t₂ = z_t₁ + (σ̃₂ − σ̃₁) ε̂₁
                ∂L/∂z = w(t₁) (ε̂₁ − ε̂₂)

        where ε̂ᵢ are the guided predictions at (z_t₁, t₁) and (ẑ_t₂, t₂). As printed, with the
        network's Jacobian left out, the gradient is D₁ − D₂ = σ̃₂ (ε̂₂ − ε̂₁): the *opposite* sign,
        which diverges. The loss returned is ½‖∂L/∂z‖², summed over the latent.

        Args:
            image: x, views in [0, 1].
            eps_star: ε*, drawn once per run and shared by all views.
            t_1: the noisier timestep.
            t_2: the less noisy timestep.
            context: the encoded text of each view.
            null_context: the encoded empty prompt.
            cfg_scale: s of `classifier_free`, for both predictions.
            weight: w(t₁); the reference uses 1 − ᾱ_t₁.
            clamp: bound on each element of ∂L/∂z of a view, after `weight`; infinity for none.
            class_labels: unCLIP's class vector of C_m; None for a prior without class embedding.

        Returns:
            loss and x_bar = ∂loss/∂image: the mean over views.
        """
        condition = (class_labels, context, null_context, cfg_scale)
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            z = encode(self.vae, resize(image, self.latent_px * eps_star.shape[-1]))
        with torch.no_grad():
            sigma_1, sigma_2 = self.schedule.sigma_ve(t_1), self.schedule.sigma_ve(t_2)
            z_t1 = z + sigma_1 * eps_star
            eps_1 = self._predict_noise(z_t1, t_1, condition)
            z_hat_t2 = z_t1 + (sigma_2 - sigma_1) * eps_1
            eps_2 = self._predict_noise(z_hat_t2, t_2, condition)
            z_bar = weight.view(-1, 1, 1, 1) * (eps_1 - eps_2)
            z_bar = torch.maximum(torch.minimum(z_bar, clamp), -clamp)
        (x_bar,) = torch.autograd.grad(z, image, z_bar / len(z))
        return latent_loss(z_bar), x_bar

    def _predict_noise(
        self, z_tilde: Latent, t: Timestep, condition: tuple[Tensor | None, Tensor, Tensor, Tensor]
    ) -> Latent:
        """ε̂ at a variance-exploding latent; the network sees z̃/√(1+σ̃²), which is α z̃."""
        z_t = self.schedule.alpha(t) * z_tilde
        prediction = self.prior(z_t, t, *condition)
        return self.schedule.noise_of(prediction, z_t, t)
