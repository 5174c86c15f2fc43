"""What the priors train on: latents of every view, embeddings of views, captions and sounds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.mini.train.bind import load_bind
from xbind.mini.train.captions import build_bank
from xbind.mini.train.data import Split, World, as_image, on_white
from xbind.mini.train.loop import averaged
from xbind.mini.train.vae import build_vae
from xbind.models.preprocess import normalise_image

COLOUR_VIEWS = 6
"""Views of each object that the priors see in colour."""
NORMAL_VIEWS = 2
"""Views of each object that the priors see as a normal map."""


def encode_latents(world: World, work: Path) -> None:
    """VAE means of colour views and normal maps → `latents.npy`, `normal_latents.npy`."""
    vae = build_vae()
    vae.load_state_dict(averaged(work / "vae_folded.pt"))
    vae.eval().requires_grad_(False)
    split = world.train

    def encode(x: Tensor) -> np.ndarray:
        return vae.encode(x * 2 - 1).latent_dist.mean.half().numpy()

    colour = np.zeros((split.objects, COLOUR_VIEWS, 4, 16, 16), np.float16)
    normal = np.zeros((split.objects, NORMAL_VIEWS, 4, 16, 16), np.float16)
    with torch.inference_mode():
        for o in range(0, split.objects, 8):
            views = split.rgba[o : o + 8, :COLOUR_VIEWS]
            colour[o : o + 8] = encode(on_white(views.reshape(-1, 64, 64, 4))).reshape(
                -1, COLOUR_VIEWS, 4, 16, 16
            )
            maps = split.normals[o : o + 8, :NORMAL_VIEWS]
            normal[o : o + 8] = encode(as_image(maps.reshape(-1, 64, 64, 3))).reshape(
                -1, NORMAL_VIEWS, 4, 16, 16
            )
    np.save(work / "latents.npy", colour)
    np.save(work / "normal_latents.npy", normal)


def encode_images(embed: Callable[[Tensor], Tensor], world: World) -> np.ndarray:
    """Embeddings of the colour views, float16 [o,v,d]."""
    split, rows = world.train, []
    with torch.inference_mode():
        for o in range(0, split.objects, 8):
            x = on_white(split.rgba[o : o + 8, :COLOUR_VIEWS].reshape(-1, 64, 64, 4))
            rows.append(embed(normalise_image(x)).half().numpy())
    return np.concatenate(rows).reshape(split.objects, COLOUR_VIEWS, -1)


def encode_embeddings(world: World, work: Path) -> None:
    """Aligned embeddings of views and captions → `image_embeddings.npy`, `text_embeddings.npy`."""
    bind = load_bind(work)
    np.save(work / "image_embeddings.npy", encode_images(lambda x: bind.embed("vision", x), world))
    with torch.inference_mode():
        text = torch.cat([bind.embed("text", ids) for ids in build_bank().ids.split(256)])
    np.save(work / "text_embeddings.npy", text.half().numpy())


def load_image_embeddings(work: Path) -> np.ndarray:
    """What `encode_embeddings` wrote for the views: float16 [o,v,d]."""
    return np.load(work / "image_embeddings.npy", allow_pickle=False)


@dataclass(frozen=True, slots=True)
class Latents:
    """Everything of the training split that the priors need, in memory."""

    colour: np.ndarray
    """float16 [o,v,4,16,16], colour views."""
    normal: np.ndarray
    """float16 [o,n,4,16,16], normal maps of the first n views."""
    image: np.ndarray
    """float16 [o,v,d], unit embeddings of the colour views."""
    text: Float[Tensor, "n d"]
    """Unit embeddings of the caption bank."""
    audio: Float[Tensor, "k n d"]
    """Unit embeddings of the sounds per category."""
    split: Split


def load_latents(world: World, work: Path) -> Latents:
    """Read what the `encode_*` functions wrote."""

    def read(name: str) -> np.ndarray:
        return np.load(work / f"{name}.npy", allow_pickle=False)

    return Latents(
        read("latents"),
        read("normal_latents"),
        read("image_embeddings"),
        torch.from_numpy(read("text_embeddings")).float(),
        torch.from_numpy(read("audio_embeddings")).float(),
        world.train,
    )


@dataclass(frozen=True, slots=True)
class TargetDraw:
    """One batch of latents to denoise and where they come from."""

    z: Float[Tensor, "b 4 h w"]
    objects: Int[Tensor, " b"]
    views: Int[Tensor, " b"]
    is_normal: Tensor
    """bool [b]."""


def draw_targets(
    data: Latents, count: int, generator: torch.Generator, *, normal_share: float
) -> TargetDraw:
    """Draw latents of random views, a share of them of normal maps."""
    objects = torch.randint(len(data.colour), (count,), generator=generator)
    views = torch.randint(data.colour.shape[1], (count,), generator=generator)
    is_normal = torch.rand(count, generator=generator) < normal_share
    views = torch.where(is_normal, views % data.normal.shape[1], views)
    o, v = objects.numpy(), views.numpy()
    colour = torch.from_numpy(data.colour[o, v]).float()
    normal = torch.from_numpy(data.normal[o, v % data.normal.shape[1]]).float()
    z = torch.where(is_normal.view(-1, 1, 1, 1), normal, colour)
    return TargetDraw(z, objects, views, is_normal)
