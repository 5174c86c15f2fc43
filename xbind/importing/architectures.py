"""The shapes of the public networks of the `sd21` bundle.

Stable Diffusion 2.1-unCLIP, Zero-1-to-3 (XL), ImageBind-huge and CLIP ViT-H/14. A checkpoint in one
file does not say its own shape: these configurations do. The same structure with smaller numbers
describes any bundle of the kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xbind.models.bind_config import BindConfig, TrunkConfig, imagebind_huge

BYTE_TOKENS = 514
"""CLIP's byte pairs without any merge: 256 bytes inside and at the end of a word, begin, end."""

Config = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """The shape of every network of a bundle."""

    unet2d: Config
    """UNet2DConditionModel of the 2D prior."""
    unet3d: Config
    """UNet2DConditionModel of the 3D prior: four more input channels."""
    vae: Config
    """AutoencoderKL of both priors."""
    clip: Config
    """CLIPVisionConfig of the MS loss's encoder, whose embeddings condition the 2D prior."""
    image_encoder: Config
    """CLIPVisionConfig of the 3D prior."""
    text: Config
    """CLIPTextConfig of the 2D prior."""
    bind: BindConfig
    """The aligned encoder."""
    scheduler2d: Config
    """Noise schedule of the 2D prior."""
    scheduler3d: Config
    """Noise schedule of the 3D prior."""
    noising: Config
    """Schedule that noises embeddings."""
    image_size: Mapping[str, int]
    """Prior → side of the images that guidance shows it, in pixels."""
    taesd: Config | None = None
    """AutoencoderTiny of both priors' latents; None for a bundle without it."""
    sd_base: Config | None = None
    """UNet2DConditionModel of the 2D prior that reads text alone, whose autoencoder and text
    encoder have the shapes of `vae` and `text`; None for a bundle without it."""

    @property
    def scheduler_sd_base(self) -> Config:
        """Noise schedule of `sd_base`."""
        return {**self.scheduler2d, "prediction_type": "epsilon"}


_UNET = {
    "act_fn": "silu",
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "layers_per_block": 2,
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "out_channels": 4,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
_STEPS = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
}


def sd21() -> Architecture:
    """Stable Diffusion 2.1-unCLIP (H), Zero-1-to-3, CLIP ViT-H/14 and ViT-L/14, ImageBind-huge."""
    return Architecture(
        unet2d=_UNET
        | {
            "attention_head_dim": [5, 10, 20, 20],
            "class_embed_type": "projection",
            "cross_attention_dim": 1024,
            "in_channels": 4,
            "projection_class_embeddings_input_dim": 2048,
            "sample_size": 96,
            "upcast_attention": True,
            "use_linear_projection": True,
        },
        unet3d=_UNET
        | {
            "attention_head_dim": 8,
            "cross_attention_dim": 768,
            "in_channels": 8,
            "sample_size": 32,
        },
        vae={
            "act_fn": "silu",
            "block_out_channels": [128, 256, 512, 512],
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "in_channels": 3,
            "latent_channels": 4,
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "out_channels": 3,
            "scaling_factor": 0.18215,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
        },
        clip={
            "hidden_act": "gelu",
            "hidden_size": 1280,
            "image_size": 224,
            "intermediate_size": 5120,
            "num_attention_heads": 16,
            "num_hidden_layers": 32,
            "patch_size": 14,
            "projection_dim": 1024,
        },
        image_encoder={
            "hidden_act": "quick_gelu",
            "hidden_size": 1024,
            "image_size": 224,
            "intermediate_size": 4096,
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 14,
            "projection_dim": 768,
        },
        text={
            "bos_token_id": 0,
            "eos_token_id": 2,
            "hidden_act": "gelu",
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "max_position_embeddings": 77,
            "num_attention_heads": 16,
            "num_hidden_layers": 23,  # of 24: the prior was trained on the last but one
            "projection_dim": 512,
            "vocab_size": 49408,
        },
        bind=imagebind_huge(),
        scheduler2d=_STEPS | {"prediction_type": "v_prediction"},
        scheduler3d=_STEPS | {"prediction_type": "epsilon"},
        noising={"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 1000},
        image_size={"unclip": 768, "zero123": 256},
    )


def reduced() -> Architecture:
    """`sd21` as deep, a tenth as wide or less, on pictures of 64 pixels: to try things out."""
    full = sd21()
    unet = {"block_out_channels": [32, 64, 128, 128], "norm_num_groups": 8, "sample_size": 8}
    labels = {"cross_attention_dim": 64, "projection_class_embeddings_input_dim": 128}
    tower = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    vision = tower | {"image_size": 56, "projection_dim": 64}
    trunks = {name: _narrow(trunk) for name, trunk in full.bind.trunks.items()}
    bind = replace(full.bind, embed_dim=64, vocab_size=BYTE_TOKENS, trunks=trunks)
    return replace(
        full,
        unet2d={**full.unet2d, **unet, **labels, "attention_head_dim": [2, 4, 8, 8]},
        unet3d={**full.unet3d, **unet, "cross_attention_dim": 64, "attention_head_dim": 4},
        vae={**full.vae, "block_out_channels": [16, 32, 64, 64], "norm_num_groups": 8},
        clip={**full.clip, **vision},
        image_encoder={**full.image_encoder, **vision},
        text={**full.text, **tower, "projection_dim": 64, "vocab_size": BYTE_TOKENS},
        bind=bind,
        image_size={"unclip": 64, "zero123": 64},
    )


def with_sd_base(a: Architecture) -> Architecture:
    """The same bundle with Stable Diffusion 2.1-base: the 2D prior's UNet without class embedding,
    for pictures of 512 pixels at most.
    """
    size = min(512, a.image_size["unclip"])
    others = ("class_embed_type", "projection_class_embeddings_input_dim", "upcast_attention")
    unet = {key: value for key, value in a.unet2d.items() if key not in others}
    halvings = len(a.vae["block_out_channels"]) - 1
    return replace(
        a,
        sd_base=unet | {"sample_size": size >> halvings},
        image_size={**a.image_size, "sd_base": size},
    )


def taesd() -> Config:
    """TAESD: 2.4 M parameters, half of them the decoder."""
    return {
        "act_fn": "relu",
        "decoder_block_out_channels": [64] * 4,
        "encoder_block_out_channels": [64] * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "latent_magnitude": 3,
        "latent_shift": 0.5,
        "num_decoder_blocks": [3, 3, 3, 1],
        "num_encoder_blocks": [1, 3, 3, 3],
        "out_channels": 3,
        "scaling_factor": 1.0,
        "upsample_fn": "nearest",
        "upsampling_scaling_factor": 2,
    }


def _narrow(trunk: TrunkConfig) -> TrunkConfig:
    stem = tuple(replace(layer, channels=64) for layer in trunk.stem)
    side = (56, 56) if trunk.input_size == (224, 224) else trunk.input_size
    return replace(trunk, width=64, heads=4, stem=stem, input_size=side)
