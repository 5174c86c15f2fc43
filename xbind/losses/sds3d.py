"""SDS with the Zero-1-to-3 prior (Eq. 10)."""

from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.latents import Decoder, Image, Vae
from xbind.diffusion.priors import UNet, Zero123Prior
from xbind.diffusion.schedule import Latent, NoiseSchedule, SharedLatent, Timestep
from xbind.losses.sds import distil


class Sds3d(nn.Module):
    """Eq. 10 as a guidance step: image and feeds to loss and ∂loss/∂image."""

    outputs = ("loss", "x_bar")

    def __init__(
        self,
        vae: Vae,
        unet: UNet,
        schedule: NoiseSchedule,
        *,
        image_size: int,
        image_term: bool = False,
        two_passes: bool = False,
        decoder: Decoder | None = None,
    ) -> None:
        """Freeze the networks; `decoder` as in `distil`.

        Eq. 10 has no image term; with `image_term` that of Eq. 5 is added, along with the feed
        `w_img`.
        """
        super().__init__()
        self.vae, self.decoder = vae, decoder
        self.prior = Zero123Prior(unet, two_passes=two_passes)
        self.schedule = schedule
        self.image_size = image_size
        names = ("image", "noise", "t", "token", "reference_latent", "cfg_scale", "weight")
        self.inputs = (*names, *(("w_img",) if image_term else ()))
        self.eval().requires_grad_(False)

    def forward(
        self,
        image: Image,
        noise: Latent,
        t: Timestep,
        token: Float[Tensor, "b 1 d"],
        reference_latent: SharedLatent,
        cfg_scale: Float[Tensor, ""],
        weight: Float[Tensor, " b"],
        w_img: Float[Tensor, ""] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run `distil` with the prior under c(x_r, R, T) = (`token`, `reference_latent`)."""
        return distil(
            self.vae,
            self.schedule,
            lambda z_t: self.prior(z_t, t, token, reference_latent, cfg_scale),
            image,
            image_size=self.image_size,
            noise=noise,
            t=t,
            weight=weight,
            w_img=w_img,
            decoder=self.decoder,
        )
