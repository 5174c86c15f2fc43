"""View words of the 2D prior: an adapter of its cross-attention, trained with all else frozen.

The prior was trained under one token of zeros. The value projections of its cross-attention have no
bias, so whatever they become, the network is unchanged, bit for bit, under that token. A word is
another token. With one token the softmax is 1: a word enters each block as a constant vector, and
the key projections have no gradient.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from xbind.diffusion.schedule import alphas_cumprod, scaled_linear_betas, squared_cosine_betas
from xbind.diffusion.unclip import unclip_condition
from xbind.diffusion.view_words import VIEW_WORDS
from xbind.mini.train.bind import EMBED_DIM
from xbind.mini.train.captions import build_bank, caption_table
from xbind.mini.train.compiling import for_training
from xbind.mini.train.data import World
from xbind.mini.train.latents import draw_targets, load_latents
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.mini.train.priors import (
    EMBEDDING_NORM,
    NOISE_LEVEL,
    NORMAL_SHARE,
    SAID,
    build_unet,
    draw_conditions,
    draw_timesteps,
    load_normaliser,
    velocity,
)
from xbind.mini.train.view_contexts import TRAINED_WORDS, contexts_of, words_of


class ViewAdapter(nn.Module):
    """Tokens of the view words, and the value projections that read them."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        """Random tokens, and projections of zeros: no word changes the network yet."""
        super().__init__()
        projections = value_projections(unet)
        self.names = tuple(projections)
        self.tokens = nn.Parameter(torch.randn(len(TRAINED_WORDS), EMBED_DIM))
        self.values = nn.ParameterList(torch.zeros_like(x) for x in projections.values())

    def contexts(self) -> Float[Tensor, "n 1 c"]:
        """One context for each of `VIEW_WORDS`; zeros for those that are not trained."""
        return contexts_of(self.tokens)

    def changes(self) -> dict[str, Tensor]:
        """Name of a parameter of the UNet → what stands in its place."""
        return dict(zip(self.names, self.values, strict=True))

    def forward(
        self,
        unet: UNet2DConditionModel,
        z_t: Float[Tensor, "b 4 h w"],
        t: Int[Tensor, " b"],
        words: Int[Tensor, " b"],
        labels: Float[Tensor, "b d2"],
    ) -> Float[Tensor, "b 4 h w"]:
        """The prediction of the UNet under a word for each view."""
        given = (z_t, t, self.contexts()[words])
        options = {"class_labels": labels, "return_dict": False}
        predicted: tuple[Tensor] = functional_call(unet, self.changes(), given, options)
        return predicted[0]


def value_projections(unet: nn.Module) -> dict[str, Tensor]:
    """Name → weight of every value projection of the cross-attention, in the network's order."""
    weights = unet.named_parameters()
    return {name: x.detach() for name, x in weights if name.endswith("attn2.to_v.weight")}


def train_view_words(world: World, work: Path, config: LoopConfig) -> None:
    """The adapter, to `work/view_words.pt`, for the 2D prior of `work/unclip.pt`.

    Targets, timesteps and conditions are those that the prior itself was trained with, normal maps
    included; none is without a condition or a word, which the adapter learns nothing from.
    """
    device = config.device
    data = load_latents(world, work, device)
    rows = caption_table(build_bank(), SAID).to(device)
    mean, std = load_normaliser(data, rows, work)
    unet = build_unet(4, 2 * EMBED_DIM)
    unet.load_state_dict(averaged(work / "unclip.pt"))
    unet.requires_grad_(False)
    for_training(unet, config)
    torch.manual_seed(config.seed)  # initial tokens
    adapter = ViewAdapter(unet)
    alpha_bar = alphas_cumprod(scaled_linear_betas()).to(device)
    noising = alphas_cumprod(squared_cosine_betas()).to(device)

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw_targets(data, config.batch, generator, normal_share=NORMAL_SHARE)
        t = draw_timesteps(data, drawn, generator)
        noise = torch.randn(drawn.z.shape, generator=generator, device=device)
        z_t, v = velocity(drawn.z, t, noise, alpha_bar)
        embedding = EMBEDDING_NORM * draw_conditions(data, rows, drawn, generator)
        u = torch.rand(2, config.batch, generator=generator, device=device)
        level = torch.where(u[0] < 0.4, 0, (u[1] * NOISE_LEVEL).long())
        labels = unclip_condition(
            embedding, level, torch.randn(embedding.shape, generator=generator, device=device),
            mean=mean, std=std, alphas_cumprod=noising,
        )  # fmt: skip
        words = words_of(data.pose[drawn.objects, drawn.views])
        with config.autocast():
            error = (adapter(unet, z_t, t, words, labels) - v).square().mean((1, 2, 3))
        return {"loss": error.mean()} | _by_word(error, words)

    train("view_words", adapter, losses, config, work)


def _by_word(error: Float[Tensor, " b"], words: Int[Tensor, " b"]) -> dict[str, Tensor]:
    """The mean error of each word's views."""
    masks = {VIEW_WORDS[word]: (words == word).float() for word in TRAINED_WORDS}
    return {name: (error * mask).sum() / mask.sum().clamp_min(1) for name, mask in masks.items()}


def state_from_file(file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an adapter from the tensors of a bundle's file."""
    names = value_projections(build_unet(4, 2 * EMBED_DIM))
    tokens = torch.stack([file["contexts"][word - 1, 0] for word in TRAINED_WORDS])
    return {"tokens": tokens} | {f"values.{i}": file[name] for i, name in enumerate(names)}


def adapter_of(state: Mapping[str, Tensor]) -> ViewAdapter:
    """The adapter of a checkpoint's averaged weights."""
    adapter = ViewAdapter(build_unet(4, 2 * EMBED_DIM))
    adapter.load_state_dict(state)
    return adapter.requires_grad_(False)
