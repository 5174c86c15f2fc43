"""The CLIP-role image encoder of the MS loss, in the aligned encoder's space.

As CLIP ViT-H/14 is to ImageBind: same space, another network. It follows the aligned encoder's
vision tower on augmented views and is contrasted with the captions.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from xbind.mini.train.augment import augment
from xbind.mini.train.bind import (
    EMBED_DIM,
    NORMAL_SHARE,
    attributes,
    contrastive_loss,
    load_bind,
    retrieval,
)
from xbind.mini.train.captions import Bank, draw_captions, matches
from xbind.mini.train.data import World, draw, images
from xbind.mini.train.latents import encode_views
from xbind.mini.train.lengths import CPU, LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.models.preprocess import normalise_image


def build_clip() -> CLIPVisionModelWithProjection:
    """A ViT of 0.7 M parameters, 8×8 patches."""
    config = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=64,
        patch_size=8,
        projection_dim=EMBED_DIM,
    )
    return CLIPVisionModelWithProjection(config)


def embed_clip(clip: nn.Module, x: Tensor) -> Tensor:
    """Unit embeddings of normalised images [b,3,64,64]."""
    return nn.functional.normalize(clip(pixel_values=x).image_embeds, dim=-1)


def train_clip(world: World, bank: Bank, work: Path, config: LoopConfig) -> None:
    """Distil and contrast, to `work/clip.pt`."""
    torch.manual_seed(config.seed)  # initial weights
    clip, bind, split = build_clip(), load_bind(work), world.train

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw(split, config.batch, generator, normal_share=NORMAL_SHARE)
        labels, adjective = attributes(split, drawn)
        rows = draw_captions(bank, labels, adjective, drawn.is_normal, generator)
        x = normalise_image(augment(images(split, drawn), generator))
        with torch.no_grad():
            teacher = bind.embed("vision", x)
            text = bind.embed("text", bank.ids[rows])
        image = embed_clip(clip, x)
        true, undecided = matches(bank, rows, labels, adjective, drawn.is_normal)
        contrast = contrastive_loss(14.0 * image @ text.T, true, undecided)
        distil = (1 - (image * teacher).sum(1)).mean()
        return {"loss": 0.3 * contrast + 3.0 * distil, "contrast": contrast, "distil": distil}

    def validate(model: nn.Module) -> Mapping[str, float]:
        return retrieval(lambda x: embed_clip(model, x), bind, world.held_out)

    train("clip", clip, losses, config, work, validate=validate)


def load_clip(work: Path) -> CLIPVisionModelWithProjection:
    """The trained encoder."""
    clip = build_clip()
    clip.load_state_dict(averaged(work / "clip.pt"))
    return clip.eval().requires_grad_(False)


def encode_clip(world: World, work: Path, device: torch.device = CPU) -> None:
    """Its embeddings of the training views → `clip_embeddings.npy`."""
    clip = load_clip(work).to(device)
    rows = encode_views(lambda x: embed_clip(clip, normalise_image(x)), world, device)
    np.save(work / "clip_embeddings.npy", rows)
