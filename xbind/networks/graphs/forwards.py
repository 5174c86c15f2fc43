"""Forward passes of single networks as graphs: what is only sampled or encoded once."""

from typing import get_args

import torch
from torch import Tensor, nn

from xbind.config.method import MethodConfig
from xbind.diffusion.priors import takes_labels
from xbind.diffusion.single_networks import Decode, Embed, Encode, PlainUNet, UnitEmbedding
from xbind.models.bind_config import Modality
from xbind.models.preprocess import normalise_image
from xbind.networks.frozen import Bundle
from xbind.networks.graphs.definition import GraphDef
from xbind.networks.graphs.sampling import InputSampler
from xbind.networks.graphs.size import GraphRequest
from xbind.networks.manifest import VIEW_WORDS_ROLE, BundleManifest


def _unet2d_inputs(s: InputSampler) -> dict[str, Tensor]:
    unclip, steps = s.bundle.unclip, s.spread_timesteps()
    inputs = {
        "sample": s.noisy_latent(unclip, steps, unclip.drawn_size),
        "timestep": steps,
        "encoder_hidden_states": s.context(),
    }
    return inputs | ({"class_labels": s.class_labels(s.batch)} if unclip.takes_labels else {})


def _unet3d_inputs(s: InputSampler) -> dict[str, Tensor]:
    zero123, token = s.bundle.zero123, s.token()
    reference = s.reference_latent().expand(s.batch, -1, -1, -1)
    steps = s.spread_timesteps()
    noisy = s.noisy_latent(zero123, steps, zero123.image_size)
    inputs = {
        "sample": torch.cat([noisy, reference], 1),
        "timestep": steps,
        "encoder_hidden_states": token,
    }
    return inputs | ({"class_labels": token[:, 0]} if takes_labels(zero123.unet) else {})


def _unet3d(bundle: Bundle, _: bool) -> nn.Module:
    return PlainUNet(bundle.zero123.unet, labelled=takes_labels(bundle.zero123.unet))


def _encoder(modality: Modality) -> GraphDef:
    """The trunk and head of a modality of the aligned encoder."""
    name = f"bind_{modality}"
    return GraphDef(
        name=name,
        components=("bind",),
        module=lambda bundle, _: Embed(bundle.bind.model, modality),
        inputs=lambda s: {"x": s.modality(modality)},
        usual=lambda method, manifest: GraphRequest(name, 1, 0),
        modality=modality,
    )


def _clip_request(method: MethodConfig, manifest: BundleManifest) -> GraphRequest:
    return GraphRequest("clip_image", 1, manifest.config("clip")["image_size"])


FORWARD_DEFS: tuple[GraphDef, ...] = (
    GraphDef(
        name="unet2d",
        components=("unclip.unet",),
        optional=(VIEW_WORDS_ROLE,),
        module=lambda bundle, _: PlainUNet(bundle.unclip.unet, labelled=bundle.unclip.takes_labels),
        inputs=_unet2d_inputs,
        usual=lambda method, manifest: GraphRequest("unet2d", 2 * method.reference.candidates, 0),
    ),
    GraphDef(
        name="unet3d",
        components=("zero123.unet",),
        module=_unet3d,
        inputs=_unet3d_inputs,
        usual=lambda method, manifest: GraphRequest("unet3d", 2 * method.coarse.views, 0),
    ),
    GraphDef(
        name="vae_encode",
        components=("unclip.vae",),
        module=lambda bundle, _: Encode(bundle.unclip.vae),
        inputs=lambda s: {"image": s.image()},
        usual=lambda method, manifest: GraphRequest("vae_encode", 1, manifest.image_size_2d),
    ),
    GraphDef(
        name="vae_decode",
        components=("unclip.vae",),
        module=lambda bundle, _: Decode(bundle.unclip.vae),
        inputs=lambda s: {"z": s.latent(s.bundle.unclip, s.bundle.unclip.drawn_size)},
        usual=lambda method, manifest: GraphRequest("vae_decode", method.reference.candidates, 0),
    ),
    GraphDef(
        name="clip_image",
        components=("clip",),
        module=lambda bundle, _: UnitEmbedding(bundle.clip),
        inputs=lambda s: {"pixels": normalise_image(s.image())},
        usual=_clip_request,
    ),
    *(_encoder(modality) for modality in get_args(Modality)),
)
"""Every forward pass."""
