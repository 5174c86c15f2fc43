"""Official names of parameters to those of the bundle's layout (diffusers, transformers)."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xbind.importing.checkpoint import CheckpointError, State

LDM_UNET = "model.diffusion_model."
LDM_EMA = "model_ema."
LDM_VAE = "first_stage_model."
LDM_TEXT = "cond_stage_model.model."
LDM_ZERO123_CLIP = "cond_stage_model.model.visual."
LDM_UNCLIP_CLIP = "embedder.model.visual."
LDM_PROJECTION = "cc_projection."
"""Prefixes in a checkpoint of the authors' own (latent-diffusion) code."""

_BLOCK = {
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
    "attn.out_proj.": "self_attn.out_proj.",
}
_VISION = {
    "conv1.weight": "embeddings.patch_embedding.weight",
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_TEXT = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}


def under(state: State, prefix: str) -> State:
    """The part of a checkpoint below a prefix, without it."""
    return {k.removeprefix(prefix): state[k] for k in state if k.startswith(prefix)}


_EMA_COUNTERS = {"decay", "num_updates"}
"""Buffers of latent-diffusion's `LitEma` beside the averages."""


def sampled_unet(state: State) -> tuple[State, bool]:
    """The UNet that its authors sample with, prefix included, and whether it is an average.

    Latent-diffusion code keeps an exponential moving average of the weights beside those that are
    trained, and swaps it in for sampling. Its names have no dots: `model_ema.` and what stands
    behind `model.` in the trained weight's name.

    Args:
        state: a checkpoint of latent-diffusion code.

    Returns:
        Tensors under the trained weights' names, the averages where the checkpoint has them.

    Raises:
        CheckpointError: it has averages of some weights only, or of others.
    """
    raw = [k for k in state if k.startswith(LDM_UNET)]
    averages = {k for k in state if k.startswith(LDM_EMA)}
    averages -= {LDM_EMA + counter for counter in _EMA_COUNTERS}
    if not averages:
        return {k: state[k] for k in raw}, False
    names = {k: LDM_EMA + k.removeprefix("model.").replace(".", "") for k in raw}
    lacking = [k for k in raw if names[k] not in averages]
    unknown = sorted(averages - set(names.values()))
    if lacking or unknown:
        first = f"no average of {lacking[0]}" if lacking else f"{unknown[0]}, of no weight in it"
        raise CheckpointError(
            f"The checkpoint has moving averages (model_ema) of {len(raw) - len(lacking)} of its "
            f"UNet's {len(raw)} weights and of {len(unknown)} others: it has {first}.\n"
            f"Get the whole checkpoint, or one without model_ema."
        )
    return {k: state[names[k]] for k in raw}, True


def unet_from_ldm(state: State, config: Mapping[str, Any]) -> State:
    """A UNet of latent-diffusion code, prefix included, in diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    part = {k: state[k] for k in state if k.startswith(LDM_UNET)}
    converted: State = convert_ldm_unet_checkpoint(part, config)
    return converted


def vae_from_ldm(state: State, config: Mapping[str, Any]) -> State:
    """A VAE of latent-diffusion code, prefix included, in diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    part = {k: state[k] for k in state if k.startswith(LDM_VAE)}
    converted: State = convert_ldm_vae_checkpoint(part, config)
    return converted


def attention_names(state: State) -> State:
    """A VAE in diffusers' names of today; checkpoints from before 2023 name attention otherwise."""
    new = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    return {
        re.sub(r"(?<=attentions\.0\.)(query|key|value|proj_attn)\b", lambda m: new[m[1]], k): state[
            k
        ]
        for k in state
    }


def vision_from_open_clip(state: State) -> State:
    """The image tower of OpenAI's or OpenCLIP's code, without prefix, in transformers' names."""
    converted = _tower(state, _VISION, "vision_model.")
    if "proj" in state:
        converted["visual_projection.weight"] = state["proj"].T
    return converted


def text_from_open_clip(state: State, layers: int) -> State:
    """The text tower of OpenCLIP's code in transformers' names; layers above `layers` stay out."""
    return _tower(state, _TEXT, "text_model.", layers)


def _tower(
    state: State, names: Mapping[str, str], prefix: str, layers: int | None = None
) -> dict[str, Tensor]:
    converted = {prefix + new: state[old] for old, new in names.items() if old in state}
    for name in state:
        found = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", name)
        if found is None or (layers is not None and int(found[1]) >= layers):
            continue
        block, rest = f"{prefix}encoder.layers.{found[1]}.", found[2]
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            for part, x in zip("qkv", state[name].chunk(3), strict=True):
                converted[f"{block}self_attn.{part}_proj.{kind}"] = x
            continue
        for old, new in _BLOCK.items():
            if rest.startswith(old):
                converted[block + new + rest.removeprefix(old)] = state[name]
    return converted


def only_linear(state: State) -> dict[str, Tensor]:
    """The one linear layer of a checkpoint, whatever it is called: the camera projection."""
    found = {k.rsplit(".", 1)[-1]: state[k] for k in state}
    return {k: found[k] for k in ("weight", "bias") if k in found}


def normaliser(state: State) -> dict[str, Tensor]:
    """Mean and spread of the embedding normaliser, [1, d] each."""
    return {k: state[k].reshape(1, -1) for k in ("mean", "std") if k in state}


def to_half(state: State, *, keep: bool) -> dict[str, Tensor]:
    """Float16 where it holds the values, else float32; whole numbers and masks as they are.

    Args:
        state: what to convert.
        keep: leave all in float32.
    """
    converted = {}
    for name, x in state.items():
        if x.is_floating_point():
            half = x.half()
            fits = torch.equal(half.isfinite(), x.isfinite())
            # a scale is one number: half would move everything that it multiplies
            x = x.float() if keep or not fits or x.ndim == 0 else half
        converted[name] = x.contiguous().clone()
    return converted
