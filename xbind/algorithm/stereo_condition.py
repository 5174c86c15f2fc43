"""The reference view as the 3D prior's condition, and the prior's agreement with the prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.algorithm.reference_view import ReferenceView, ddim, embed_reference_image, told_pose
from xbind.conditioning.prompt import EncodedPrompt, embed_images
from xbind.config.savings import FASTEST, Savings
from xbind.config.terms import AgreementConfig
from xbind.diffusion.latents import decode, encode, resize
from xbind.diffusion.priors import Zero123Prior
from xbind.networks.frozen import Bundle, Zero123
from xbind.scene.cameras import Cameras, relative_pose


@dataclass(frozen=True, slots=True, eq=False)
class StereoCondition:
    """x_r as the 3D prior and L_ref need it."""

    view: ReferenceView
    """x_r, m and its camera."""
    latent: Float[Tensor, "1 c h w"]
    """VAE mode of x_r, not scaled: the 3D prior's concatenated condition."""
    embedding: Float[Tensor, "1 d"]
    """Image embedding of x_r for the camera projection."""
    seen_pose: Float[Tensor, "1 3"]
    """The pose of x_r that conditions the 3D prior: the user's, else estimated from x_r."""
    share: Float[Tensor, ""]
    """Factor on ω_3d, in [0, 1]."""
    agreement: Float[Tensor, ""]
    """The 3D prior's agreement with the prompt; NaN where it was not measured."""

    def token(self, cameras: Cameras, zero123: Zero123) -> Float[Tensor, "b 1 d"]:
        """c(x_r, R, T): the projected [image embedding ; relative camera] of each view."""
        b = len(cameras)
        relative = relative_pose(cameras, self.view.camera)
        return zero123.token(self.embedding.expand(b, -1), self.seen_pose.expand(b, -1), relative)

    def state(self) -> dict[str, Tensor]:
        """Plain tensors for a checkpoint."""
        camera = self.view.camera
        pose = (camera.elevation_deg, camera.azimuth_deg, camera.distance, camera.fov_y_deg)
        return {
            "image": self.view.image,
            "mask": self.view.mask,
            "pose": torch.stack(pose),
            "reference_latent": self.latent,
            "reference_embedding": self.embedding,
            "seen_pose": self.seen_pose,
            "share_3d": self.share,
            "agreement_3d": self.agreement,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "StereoCondition":
        """Read back `state`; one without a share is of a version that left ω_3d as it is."""
        whole, unknown = _unmeasured(state["image"])
        return cls(
            view=ReferenceView(state["image"], state["mask"], Cameras(*state["pose"])),
            latent=state["reference_latent"],
            embedding=state["reference_embedding"],
            seen_pose=state["seen_pose"],
            share=state.get("share_3d", whole),
            agreement=state.get("agreement_3d", unknown),
        )


def make_stereo_condition(
    view: ReferenceView, prompt: EncodedPrompt, bundle: Bundle
) -> StereoCondition:
    """Encode x_r for the 3D prior, which keeps its whole weight.

    Args:
        view: x_r, m and its camera.
        prompt: whose given angles replace those that are read off x_r.
        bundle: the frozen networks.
    """
    zero123 = bundle.zero123
    with torch.no_grad():
        image = resize(view.image, zero123.image_size)
        latent = encode(zero123.vae, image) / zero123.vae.config.scaling_factor
    embedding = embed_reference_image(image, zero123)
    seen = told_pose(zero123.seen_pose(image), prompt)
    return StereoCondition(view, latent, embedding, seen, *_unmeasured(view.image))


def weighted_by_agreement(
    stereo: StereoCondition,
    c_m: Float[Tensor, " d"],
    bundle: Bundle,
    config: AgreementConfig,
    generator: torch.Generator,
    savings: Savings = FASTEST,
) -> StereoCondition:
    """Measure the 3D prior's agreement with the prompt, which decides its share of ω_3d.

    Args:
        stereo: the 3D prior's condition.
        c_m: C_m of length 1.
        bundle: the frozen networks.
        config: of the agreement.
        generator: whose state decides the views' noise. It is not advanced, so the draws that
            follow are those of a run without the measurement.
        savings: how the networks are run.
    """
    views = _draw_views(stereo, bundle.zero123, config, generator, savings)
    with torch.inference_mode():
        own, drawn = (embed_images(x, bundle.bind) @ c_m for x in (stereo.view.image, views))
    agreement = drawn.mean() / own.mean().clamp_min(1e-6)
    known = ((agreement - config.low) / (config.high - config.low)).clamp(0, 1)
    share = config.least_share + (1 - config.least_share) * known
    # copies outside of inference mode: a step may differentiate what the share multiplies
    return replace(stereo, share=share.clone(), agreement=agreement.clone())


def _draw_views(
    stereo: StereoCondition,
    zero123: Zero123,
    config: AgreementConfig,
    generator: torch.Generator,
    savings: Savings,
) -> Float[Tensor, "b 3 s s"]:
    """Views of the object in x_r from all around it, as the 3D prior imagines them, in [0, 1]."""
    device = generator.device
    own = torch.Generator(device)
    own.set_state(generator.get_state())
    noise = torch.randn((config.views, *zero123.latent_shape), generator=own, device=device)
    camera = stereo.view.camera
    turns = torch.arange(1, config.views + 1, device=device) * 360 / (config.views + 1)
    cameras = Cameras(
        camera.elevation_deg.expand(config.views),
        camera.azimuth_deg + turns,
        camera.distance.expand(config.views),
        camera.fov_y_deg.expand(config.views),
    )
    prior = Zero123Prior(zero123.unet, two_passes=savings.split_guidance)
    scale = torch.full((), config.cfg_scale, device=device)
    rows = 1 if savings.one_at_a_time else config.views

    def drawn(z: Tensor, token: Tensor) -> Tensor:
        z = ddim(
            zero123.schedule, z, config.steps,
            lambda z_t, t: prior(z_t, t, token, stereo.latent, scale),
        )  # fmt: skip
        with torch.inference_mode():
            return decode(zero123.vae, z)

    tokens = stereo.token(cameras, zero123)
    return torch.cat(list(map(drawn, noise.split(rows), tokens.split(rows))))


def _unmeasured(like: Tensor) -> tuple[Tensor, Tensor]:
    """The share and the agreement where none is measured."""
    return like.new_ones(()), like.new_full((), torch.nan)
