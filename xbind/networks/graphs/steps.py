"""The guidance steps as graphs: one `StepDef` for each loss of `xbind.losses` and its variants."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xbind.config.method import CdsConfig, GuidanceConfig
from xbind.config.savings import Savings
from xbind.diffusion.errors import GuidanceError
from xbind.diffusion.estimator import Estimator
from xbind.diffusion.latents import Decoder
from xbind.diffusion.single_networks import UnitEmbedding
from xbind.diffusion.timesteps import cds_clamp
from xbind.losses.cds2d import Cds2d
from xbind.losses.ms import Ms
from xbind.losses.perp_neg2d import PerpNeg2d
from xbind.losses.sds2d import Sds2d
from xbind.losses.sds3d import Sds3d
from xbind.losses.vsd2d import Vsd2d
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import Bundle, Unclip, Zero123
from xbind.networks.graphs.definition import ImageDecoder, Phase, StepDef
from xbind.networks.graphs.sampling import InputSampler
from xbind.networks.graphs.size import GraphRequest
from xbind.networks.manifest import VIEW_WORDS_ROLE, BundleManifest
from xbind.networks.precision import gradient_scale

CDS_GAP = 150
"""t₁ − t₂ of sample inputs, in the middle of `CdsConfig.gap`."""
UNCLIP = ("unclip.unet", "unclip.vae", "unclip.scheduler")
ZERO123 = ("zero123.unet", "zero123.vae", "zero123.scheduler")
VARIANTS: tuple[tuple[str, ImageDecoder | None], ...] = (
    ("", None), ("_img", "vae"), ("_tiny", "taesd"),
)  # fmt: skip
"""End of a step's name, and what decodes x̂ in its image term."""


def _sds2d(name: str, decoder: ImageDecoder | None, *, perp_neg: bool = False) -> StepDef:
    """Eq. 4, and with a decoder Eq. 5; under classifier-free guidance, or under Perp-Neg."""
    kind = PerpNeg2d if perp_neg else Sds2d

    def module(bundle: Bundle, two_passes: bool) -> Sds2d | PerpNeg2d:
        unclip = bundle.unclip
        return kind(
            unclip.vae, unclip.unet, unclip.schedule, latent_px=unclip.latent_px,
            image_term=decoder is not None, two_passes=two_passes,
            decoder=_own_decoder(bundle, decoder),
        )  # fmt: skip

    def inputs(s: InputSampler) -> dict[str, Tensor]:
        inputs = _sds_inputs(s, s.bundle.unclip, decoder) | s.unclip_guidance()
        return inputs | s.perp_neg() if perp_neg else inputs

    return StepDef(
        name=name,
        components=(
            *UNCLIP,
            *(("taesd",) if decoder == "taesd" else ()),
            *((VIEW_WORDS_ROLE,) if perp_neg else ()),
        ),
        optional=() if perp_neg else (VIEW_WORDS_ROLE,),
        module=module,
        inputs=inputs,
        term="planar",
        weight=lambda guidance: guidance.w_2d,
        fits=lambda use: (
            use.planar == "sds"
            and not use.as_latents
            and use.decoder(use.guidance.w_img) == decoder
            and use.perp_neg == perp_neg
        ),
        request=lambda phase, manifest, savings: _unclip_request(name, phase, manifest, savings),
        decoder=decoder,
        shared=("class_labels", "null_context"),
    )


def _sds2d_latents() -> StepDef:
    """Eq. 4 of pictures that stand for latents (Fantasia3D): no VAE."""

    def module(bundle: Bundle, two_passes: bool) -> Sds2d:
        unclip = bundle.unclip
        return Sds2d(
            None, unclip.unet, unclip.schedule, latent_px=1, image_term=False,
            two_passes=two_passes,
        )  # fmt: skip

    def inputs(s: InputSampler) -> dict[str, Tensor]:
        drawn = _sds_inputs(s, s.bundle.unclip, None) | s.unclip_guidance()
        return drawn | {"image": s.picture_latents()}

    return StepDef(
        name="sds2d_latents",
        components=("unclip.unet", "unclip.scheduler"),
        optional=(VIEW_WORDS_ROLE,),
        module=module,
        inputs=inputs,
        term="planar",
        weight=lambda guidance: guidance.w_2d,
        fits=lambda use: use.planar == "sds" and use.as_latents,
        request=lambda phase, manifest, savings: _unclip_request(
            "sds2d_latents", phase, manifest, savings
        ),
        shared=("class_labels", "null_context"),
    )


def _cds2d() -> StepDef:
    """Eq. 3."""

    def module(bundle: Bundle, two_passes: bool) -> Cds2d:
        unclip = bundle.unclip
        return Cds2d(
            unclip.vae, unclip.unet, unclip.schedule,
            latent_px=unclip.latent_px, two_passes=two_passes,
        )  # fmt: skip

    def inputs(s: InputSampler) -> dict[str, Tensor]:
        unclip = s.bundle.unclip
        t_1 = s.timesteps().clamp(CDS_GAP, 500)
        return {
            "image": s.image(),
            "eps_star": s.latent_noise(unclip, count=1),
            "t_1": t_1,
            "t_2": t_1 - CDS_GAP,
            **s.unclip_guidance(),
            "weight": unclip.schedule.variance(t_1),
            "clamp": torch.tensor(cds_clamp(0.5, CdsConfig())),
        }

    return StepDef(
        name="cds2d",
        components=UNCLIP,
        optional=(VIEW_WORDS_ROLE,),
        module=module,
        inputs=inputs,
        term="planar",
        weight=lambda guidance: guidance.w_2d,
        fits=lambda use: use.planar == "cds",
        request=lambda phase, manifest, savings: _unclip_request("cds2d", phase, manifest, savings),
        shared=("eps_star", "class_labels", "null_context"),
    )


def _vsd2d() -> StepDef:
    """ProlificDreamer's loss, with its estimator."""

    def module(bundle: Bundle, two_passes: bool) -> Vsd2d:
        unclip = bundle.unclip
        return Vsd2d(
            unclip.vae, unclip.unet, unclip.schedule, latent_px=unclip.latent_px,
            cross_attention=unclip.reads_text, two_passes=two_passes,
            gradient_scale=gradient_scale(unclip.unet),
        )  # fmt: skip

    def inputs(s: InputSampler) -> dict[str, Tensor]:
        unclip, t = s.bundle.unclip, s.timesteps()
        last = len(unclip.schedule.alphas_cumprod) - 1
        estimator = Estimator(unclip.unet, cross_attention=unclip.reads_text)
        return {
            **_sds_inputs(s, unclip, None),
            "theta": s.theta(estimator),
            "noise_theta": s.latent_noise(unclip),
            "t_theta": last - t,
            **s.unclip_guidance(),
            "context_theta": unclip.contexts[-1:],
            "camera": s.camera(),
            "camera_theta": s.camera(),
        }

    def request(phase: Phase, manifest: BundleManifest, savings: Savings) -> GraphRequest:
        plain = _unclip_request("vsd2d", phase, manifest, savings)
        return replace(plain, rank=phase.guidance.estimator.rank)

    return StepDef(
        name="vsd2d",
        components=UNCLIP,
        optional=(VIEW_WORDS_ROLE,),
        module=module,
        inputs=inputs,
        term="planar",
        weight=lambda guidance: guidance.w_2d,
        fits=lambda use: use.planar == "vsd",
        request=request,
        shared=("theta", "class_labels", "null_context", "context_theta"),
    )


def _sds3d(name: str, decoder: ImageDecoder | None) -> StepDef:
    """Eq. 10; with a decoder it has the image term of Eq. 5 as well, which is ours."""

    def module(bundle: Bundle, two_passes: bool) -> Sds3d:
        zero123 = bundle.zero123
        return Sds3d(
            zero123.vae, zero123.unet, zero123.schedule, image_size=zero123.image_size,
            image_term=decoder is not None, two_passes=two_passes,
            decoder=_own_decoder(bundle, decoder),
        )  # fmt: skip

    def inputs(s: InputSampler) -> dict[str, Tensor]:
        return {
            **_sds_inputs(s, s.bundle.zero123, decoder),
            "token": s.token(),
            "reference_latent": s.reference_latent(),
            "cfg_scale": torch.tensor(GuidanceConfig().cfg_3d),
        }

    return StepDef(
        name=name,
        components=(*ZERO123, *(("taesd",) if decoder == "taesd" else ())),
        module=module,
        inputs=inputs,
        term="stereo",
        weight=lambda guidance: guidance.w_3d,
        fits=lambda use: use.decoder(use.guidance.w_img_3d) == decoder,
        request=lambda phase, manifest, savings: GraphRequest(
            name, savings.at_once(phase.views), phase.size, two_passes=savings.split_guidance
        ),
        decoder=decoder,
        shared=("reference_latent",),
    )


def _ms() -> StepDef:
    """Eq. 2."""

    def inputs(s: InputSampler) -> dict[str, Tensor]:
        return {
            "augmented": normalise_image(s.image()),
            "c_m": normalize(s.normal(s.bundle.bind.model.config.embed_dim), dim=0),
            "weight": torch.full((s.batch,), 1 / s.batch),
        }

    def request(phase: Phase, manifest: BundleManifest, savings: Savings) -> GraphRequest:
        images = phase.views * (2 * phase.guidance.ms_augmentations + 1)
        size = manifest.config("clip")["image_size"]
        return GraphRequest("ms", savings.at_once(images), size)

    return StepDef(
        name="ms",
        components=("clip",),
        module=lambda bundle, _: Ms(UnitEmbedding(bundle.clip)),
        inputs=inputs,
        term="ms",
        weight=lambda guidance: guidance.w_ms,
        request=request,
        reduction="sum",
        shared=("c_m",),
    )


def _own_decoder(bundle: Bundle, decoder: ImageDecoder | None) -> Decoder | None:
    """The decoder of a step; None for that of the prior's VAE, or for no image term."""
    if decoder != "taesd":
        return None
    assert bundle.taesd is not None, "make_module asks whether the bundle has it"
    return bundle.taesd


def _sds_inputs(
    s: InputSampler, prior: Unclip | Zero123, decoder: ImageDecoder | None
) -> dict[str, Tensor]:
    """Inputs that `distil` needs, whatever the prior."""
    inputs = {
        "image": s.image(),
        "noise": s.latent_noise(prior),
        "t": s.timesteps(),
        "weight": torch.ones(s.batch),
    }
    return inputs if decoder is None else inputs | {"w_img": torch.tensor(GuidanceConfig().w_img)}


def _unclip_request(
    name: str, phase: Phase, manifest: BundleManifest, savings: Savings
) -> GraphRequest:
    shown, views = _shown(phase.guidance, manifest), savings.at_once(phase.views)
    return GraphRequest(name, views, phase.size, shown, two_passes=savings.split_guidance)


def _shown(guidance: GuidanceConfig, manifest: BundleManifest) -> int:
    """Side of the images that the 2D prior is shown, where it is not its own; else 0."""
    own = manifest.image_size_2d
    shown = guidance.shown_2d(own)
    if shown == own:
        return 0
    vae, unet = (len(manifest.config(f"unclip.{x}")["block_out_channels"]) for x in ("vae", "unet"))
    step = 1 << (vae + unet - 2)
    if shown < step or shown % step:
        raise GuidanceError(
            f"The 2D prior of bundle {manifest.name!r} cannot be shown images of {shown} pixels: "
            f"its VAE halves a side {vae - 1} times and its UNet {unet - 1} times.\n"
            f"Set size_2d of the preset to a multiple of {step}, or to None for the bundle's own "
            f"{own} pixels."
        )
    return shown


STEP_DEFS: tuple[StepDef, ...] = (
    *(_sds2d(f"sds2d{end}", decoder) for end, decoder in VARIANTS),
    *(_sds2d(f"perp_neg2d{end}", decoder, perp_neg=True) for end, decoder in VARIANTS),
    _sds2d_latents(),
    _cds2d(),
    _vsd2d(),
    *(_sds3d(f"sds3d{end}", decoder) for end, decoder in VARIANTS),
    _ms(),
)
"""Every guidance step; a phase runs them in this order."""
