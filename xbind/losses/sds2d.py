"""Augmented SDS with the unCLIP prior (Eq. 4, 5)."""

from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.latents import Decoder, Vae
from xbind.diffusion.priors import Prior2d, UNet, condition_feeds
from xbind.diffusion.schedule import Latent, NoiseSchedule, Timestep
from xbind.losses.sds import distil


class Sds2d(nn.Module):
    """Eq. 5 as a guidance step: image and feeds to loss and ∂loss/∂image."""

    outputs = ("loss", "x_bar")

    def __init__(
        self,
        vae: Vae | None,
        unet: UNet,
        schedule: NoiseSchedule,
        *,
        latent_px: int,
        image_term: bool = True,
        two_passes: bool = False,
        decoder: Decoder | None = None,
    ) -> None:
        """Freeze the networks.

        Args:
            vae: the prior's autoencoder; None where the first input stands for latents, which are
                resized to the size of the feed `noise`. Then `latent_px` is 1.
            unet: the prior.
            schedule: its noise schedule.
            latent_px: side of the square of pixels that one place of a latent stands for. With the
                side of the feed `noise` it decides the size at which the prior sees the views.
            image_term: without it this is Eq. 4: no decoding, no feed `w_img`.
            two_passes: see `Prior2d`.
            decoder: see `distil`.
        """
        super().__init__()
        self.vae, self.decoder = vae, decoder
        self.prior = Prior2d(unet, two_passes=two_passes)
        self.schedule = schedule
        self.latent_px = latent_px
        names = ("image", "noise", "t", *condition_feeds(unet), "cfg_scale", "weight")
        self.inputs = (*names, *(("w_img",) if image_term else ()))
        self.eval().requires_grad_(False)

    def forward(
        self,
        image: Float[Tensor, "b c h w"],
        noise: Latent,
        t: Timestep,
        context: Float[Tensor, "#b l c"],
        null_context: Float[Tensor, "1 l c"],
        cfg_scale: Float[Tensor, ""],
        weight: Float[Tensor, " b"],
        class_labels: Float[Tensor, "#b d2"] | None = None,
        w_img: Float[Tensor, ""] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run `distil` with the prior.

        Args:
            image: x, views in [0, 1], or what stands for their latents.
            noise: ε, standard normal.
            t: timesteps.
            context: the encoded text of each view.
            null_context: the encoded empty prompt.
            cfg_scale: s of `classifier_free`.
            weight: see `distil`.
            class_labels: of C_m; see `unclip_condition`. None for a prior without class embedding.
            w_img: see `distil`.
        """
        return distil(
            self.vae,
            self.schedule,
            lambda z_t: self.prior(z_t, t, class_labels, context, null_context, cfg_scale),
            image,
            image_size=self.latent_px * noise.shape[-1],
            noise=noise,
            t=t,
            weight=weight,
            w_img=w_img,
            decoder=self.decoder,
        )
