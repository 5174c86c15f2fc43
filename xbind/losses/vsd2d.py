"""Variational score distillation with the 2D prior (Wang et al. 2023, *ProlificDreamer*)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.estimator import Estimator, Theta
from xbind.diffusion.latents import Image, Vae, encode, latent_loss, resize
from xbind.diffusion.priors import Prior2d, UNet, condition_feeds
from xbind.diffusion.schedule import Latent, NoiseSchedule, Timestep


class Vsd2d(nn.Module):
    """VSD as a guidance step: image, θ and feeds to two losses, each with its gradient."""

    outputs = ("loss", "x_bar", "loss_theta", "theta_bar")

    def __init__(
        self,
        vae: Vae,
        unet: UNet,
        schedule: NoiseSchedule,
        *,
        latent_px: int,
        cross_attention: bool,
        two_passes: bool = False,
        gradient_scale: float = 1.0,
    ) -> None:
        """Freeze the networks.

        Args:
            vae: the prior's autoencoder.
            unet: the prior, and the network that the estimator changes.
            schedule: its noise schedule.
            latent_px: as in `Sds2d`.
            cross_attention: see `Estimator`.
            two_passes: see `Prior2d`.
            gradient_scale: gradients are this much larger inside of the estimator's network, where
                small ones would vanish in float16.
        """
        super().__init__()
        self.vae = vae
        self.prior = Prior2d(unet, two_passes=two_passes)
        self.estimator = Estimator(unet, cross_attention=cross_attention)
        self.schedule = schedule
        self.latent_px, self.gradient_scale = latent_px, gradient_scale
        self.inputs = (
            "image", "theta", "noise", "t", "noise_theta", "t_theta", *condition_feeds(unet),
            "context_theta", "camera", "camera_theta", "cfg_scale", "weight",
        )  # fmt: skip
        self.eval().requires_grad_(False)

    def forward(
        self,
        image: Image,
        theta: Theta,
        noise: Latent,
        t: Timestep,
        noise_theta: Latent,
        t_theta: Timestep,
        context: Float[Tensor, "#b l c"],
        null_context: Float[Tensor, "1 l c"],
        context_theta: Float[Tensor, "1 l c"],
        camera: Float[Tensor, "b 16"],
        camera_theta: Float[Tensor, "b 16"],
        cfg_scale: Float[Tensor, ""],
        weight: Float[Tensor, " b"],
        class_labels: Float[Tensor, "#b d2"] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compare the prior with the estimator at z_t, and train the estimator at z'_t'.

        ∂L/∂z = λ(t) (ẑ_φ − ẑ) = λ(t) (σ/α) (ε̂ − ε̂_φ) / b, at z_t = α z + σ ε
        L_θ = mean ‖network_θ(z'_t', t', camera') − target‖², at z'_t' = α' z + σ' ε'

        ẑ, ε̂ are the prior's guided estimates, ẑ_φ, ε̂_φ the estimator's, which has neither guidance
        nor a word for the view. The target is what the network predicts: ε', v' or z. L is
        ½ λ ‖ẑ_φ − ẑ‖², summed over a latent, a mean over views; L_θ is a mean over both.

        Args:
            image: x, views in [0, 1].
            theta: θ of the estimator.
            noise: ε.
            t: timesteps at which the two are compared.
            noise_theta: ε', for the training.
            t_theta: timesteps of the training.
            context: the encoded text of each view, for the prior.
            null_context: the encoded empty prompt.
            context_theta: the encoded text for the estimator, without a word for the view.
            camera: camera-to-world matrices, row by row.
            camera_theta: the same for the training; zeros where the camera is left out.
            cfg_scale: s of the prior's guidance.
            weight: λ(t), on z − ẑ as in `distil`.
            class_labels: unCLIP's class vector of C_m; None for a prior without class embedding.

        Returns:
            L, ∂L/∂image, L_θ and ∂L_θ/∂θ. L is constant in θ, and L_θ in the image.
        """
        with torch.enable_grad():
            image = image.detach().requires_grad_()
            z = encode(self.vae, resize(image, self.latent_px * noise.shape[-1]))
        with torch.no_grad():
            z_t = self.schedule.add_noise(z, noise, t)
            wanted = self.prior(z_t, t, class_labels, context, null_context, cfg_scale)
            found = self.estimator(theta, z_t, t, class_labels, context_theta, camera)
            z_hat = self.schedule.latent_of(wanted, z_t, t)
            residual = self.schedule.latent_of(found, z_t, t) - z_hat
            z_bar = weight.view(-1, 1, 1, 1) * residual
        (x_bar,) = torch.autograd.grad(z, image, z_bar / len(z))
        z = z.detach()
        with torch.enable_grad():
            theta = theta.detach().requires_grad_()
            noisy = self.schedule.add_noise(z, noise_theta, t_theta)
            conditions = (class_labels, context_theta, camera_theta)
            prediction = self.estimator(theta, noisy, t_theta, *conditions)
            error = prediction - self.schedule.target_of(z, noise_theta, t_theta)
            loss_theta = error.square().mean()
            enlarged = self.gradient_scale * loss_theta
        (theta_bar,) = torch.autograd.grad(enlarged, theta)
        theta_bar = theta_bar / self.gradient_scale
        return latent_loss(residual, weight), x_bar, loss_theta.detach(), theta_bar
