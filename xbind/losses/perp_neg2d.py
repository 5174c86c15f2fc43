"""SDS with the 2D prior under Perp-Neg's guidance."""

from jaxtyping import Float
from torch import Tensor, nn

from xbind.diffusion.latents import Decoder, Image, Vae
from xbind.diffusion.perp_neg import perp_neg
from xbind.diffusion.priors import Prior2d, UNet, condition_feeds
from xbind.diffusion.schedule import Latent, NoiseSchedule, Timestep
from xbind.losses.sds import distil


class PerpNeg2d(nn.Module):
    """Eq. 5 as a guidance step like `Sds2d`, with two negative texts for each view."""

    outputs = ("loss", "x_bar")

    def __init__(
        self,
        vae: Vae,
        unet: UNet,
        schedule: NoiseSchedule,
        *,
        latent_px: int,
        image_term: bool = True,
        two_passes: bool = False,
        decoder: Decoder | None = None,
    ) -> None:
        """Freeze the networks; arguments as in `Sds2d`."""
        super().__init__()
        self.vae, self.decoder = vae, decoder
        self.prior = Prior2d(unet, two_passes=two_passes)
        self.schedule = schedule
        self.latent_px = latent_px
        condition = (*condition_feeds(unet), "negatives", "negative_weights")
        names = ("image", "noise", "t", *condition, "cfg_scale", "weight")
        self.inputs = (*names, *(("w_img",) if image_term else ()))
        self.eval().requires_grad_(False)

    def forward(
        self,
        image: Image,
        noise: Latent,
        t: Timestep,
        context: Float[Tensor, "b l c"],
        null_context: Float[Tensor, "1 l c"],
        negatives: Float[Tensor, "b n l c"],
        negative_weights: Float[Tensor, "b n"],
        cfg_scale: Float[Tensor, ""],
        weight: Float[Tensor, " b"],
        class_labels: Float[Tensor, "#b d2"] | None = None,
        w_img: Float[Tensor, ""] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run `distil` with the prediction of `perp_neg`.

        Args:
            image: x, views in [0, 1].
            noise: ε, standard normal.
            t: timesteps.
            context: the encoded text of each view.
            null_context: the encoded empty prompt.
            negatives: encoded texts that guidance leads away from.
            negative_weights: their weights.
            cfg_scale: s.
            weight: see `distil`.
            class_labels: unCLIP's class vector of C_m, of all predictions but the unconditional;
                None for a prior without class embedding.
            w_img: see `distil`.
        """

        def predict(z_t: Latent) -> Latent:
            texts = (context, *(negatives[:, i] for i in range(negatives.shape[1])))
            cond, uncond, *others = self.prior.predict(z_t, t, class_labels, null_context, *texts)
            return perp_neg(cond, uncond, others, negative_weights, cfg_scale)

        return distil(
            self.vae,
            self.schedule,
            predict,
            image,
            image_size=self.latent_px * noise.shape[-1],
            noise=noise,
            t=t,
            weight=weight,
            w_img=w_img,
            decoder=self.decoder,
        )
