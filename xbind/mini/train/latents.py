"""Training data of the priors: latents of views; embeddings of views, captions and sounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xbind.errors import XBindError
from xbind.mini.train.bind import load_bind
from xbind.mini.train.captions import build_bank
from xbind.mini.train.data import World, as_image, on_white, reduced
from xbind.mini.train.lengths import CPU
from xbind.mini.train.loop import averaged
from xbind.mini.train.resolutions import SMALL, resolution_of
from xbind.mini.train.vae import vae_with
from xbind.mini.world.categories import CATEGORIES
from xbind.models.preprocess import normalise_image

COLOUR_VIEWS = 6
"""Views of each object that the priors see in colour."""
NORMAL_VIEWS = 2
"""Views of each object that the priors see as a normal map."""


def at_once(device: torch.device, size: int = SMALL.image_size) -> int:
    """Objects with pictures of `size` px that are encoded together: caches of CPUs are small."""
    return max(1, (8 if device.type == "cpu" else 64) * SMALL.image_size**2 // size**2)


def encode_latents(world: World, work: Path, device: torch.device = CPU) -> None:
    """VAE means of colour views and normal maps → `latents.npy`, `normal_latents.npy`.

    Raises:
        XBindError: the VAE is for pictures of another size.
    """
    vae = vae_with(averaged(work / "vae_folded.pt"))
    vae.eval().requires_grad_(False).to(device)
    split, size = world.train, world.train.size
    step = at_once(device, size)
    if size != vae.config.sample_size:
        raise XBindError(
            f"The world in {work} was rendered at {size} px, and the VAE in {work} is for pictures "
            f"of {vae.config.sample_size} px.\nTrain one for this world: "
            f"remove vae*.pt, then  python -m xbind.mini.train vae --work {work}"
        )
    resolution = resolution_of(size)
    shape = resolution.channels, resolution.latent_size, resolution.latent_size

    def encode(x: Tensor) -> np.ndarray:
        return vae.encode(x * 2 - 1).latent_dist.mean.half().cpu().numpy()

    colour = np.zeros((split.objects, COLOUR_VIEWS, *shape), np.float16)
    normal = np.zeros((split.objects, NORMAL_VIEWS, *shape), np.float16)
    with torch.inference_mode():
        for o in range(0, split.objects, step):
            views = split.rgba[o : o + step, :COLOUR_VIEWS].reshape(-1, size, size, 4)
            colour[o : o + step] = encode(on_white(views, device)).reshape(-1, COLOUR_VIEWS, *shape)
            maps = split.normals[o : o + step, :NORMAL_VIEWS].reshape(-1, size, size, 3)
            normal[o : o + step] = encode(as_image(maps, device)).reshape(-1, NORMAL_VIEWS, *shape)
    np.save(work / "latents.npy", colour)
    np.save(work / "normal_latents.npy", normal)


def encode_views(
    embed: Callable[[Tensor], Tensor], world: World, device: torch.device = CPU
) -> np.ndarray:
    """Returns a network's output for the colour views in [0,1] at 64 px, float16 [o,v,d]."""
    split, step, rows = world.train, at_once(device), []
    side = split.size
    with torch.inference_mode():
        for o in range(0, split.objects, step):
            views = split.rgba[o : o + step, :COLOUR_VIEWS].reshape(-1, side, side, 4)
            images = reduced(on_white(views, device), SMALL.image_size)
            rows.append(embed(images).half().cpu().numpy())
    return np.concatenate(rows).reshape(split.objects, COLOUR_VIEWS, -1)


def encode_embeddings(world: World, work: Path, device: torch.device = CPU) -> None:
    """Aligned embeddings of views and captions → `image_embeddings.npy`, `text_embeddings.npy`."""
    bind = load_bind(work).to(device)
    images = encode_views(lambda x: bind.embed("vision", normalise_image(x)), world, device)
    np.save(work / "image_embeddings.npy", images)
    with torch.inference_mode():
        text = [bind.embed("text", ids.to(device)) for ids in build_bank().ids.split(256)]
    np.save(work / "text_embeddings.npy", torch.cat(text).half().cpu().numpy())


def load_image_embeddings(work: Path) -> np.ndarray:
    """Returns the views' embeddings, written by `encode_embeddings`: float16 [o,v,d]."""
    return np.load(work / "image_embeddings.npy", allow_pickle=False)


@dataclass(frozen=True, slots=True)
class Latents:
    """Everything of the training split that the priors need, on the device that trains them."""

    colour: Float[Tensor, "o v c h w"]
    """Colour views, float16."""
    normal: Float[Tensor, "o n c h w"]
    """Normal maps of the first n views, float16."""
    image: Float[Tensor, "o v d"]
    """Unit embeddings of the colour views, float16."""
    text: Float[Tensor, "n d"]
    """Unit embeddings of the caption bank."""
    audio: Float[Tensor, "k n d"]
    """Unit embeddings of the sounds per category."""
    pose: Float[Tensor, "o v 4"]
    """Elevation, azimuth, distance and field of view of the colour views; angles in degrees."""
    labels: Int[Tensor, "o 2"]
    """Category, colour."""
    adjective: Int[Tensor, " o"]
    """0 none, 1 tall, 2 short."""


def load_array(path: Path, device: torch.device = CPU) -> Tensor:
    """An array of the `encode_*` functions as a tensor.

    Raises:
        XBindError: it is not there.
    """
    if not path.exists():
        raise XBindError(
            f"No {path.name} in {path.parent}.\n"
            f"Make it with:  python -m xbind.mini.train encode --work {path.parent}"
        )
    return torch.from_numpy(np.load(path, allow_pickle=False)).to(device)


def load_latents(world: World, work: Path, device: torch.device = CPU) -> Latents:
    """Read what the `encode_*` functions wrote.

    Raises:
        XBindError: an array is missing, or was made of another number of objects.
    """
    split = world.train
    colour = load_array(work / "latents.npy", device)
    if len(colour) != split.objects:
        raise XBindError(
            f"{work / 'latents.npy'} holds {len(colour)} objects, the world {split.objects}.\n"
            f"Make it again with:  python -m xbind.mini.train encode --work {work}"
        )

    def attribute(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(device)  # copied: the file is read-only

    return Latents(
        colour,
        load_array(work / "normal_latents.npy", device),
        load_array(work / "image_embeddings.npy", device),
        load_array(work / "text_embeddings.npy", device).float(),
        load_array(work / "audio_embeddings.npy", device).float(),
        attribute(split.pose[:, : colour.shape[1]]),
        attribute(split.labels),
        attribute(split.adjective).long(),
    )


def objects_of(data: Latents, categories: Sequence[str]) -> Int[Tensor, " n"]:
    """Indices of the objects of some categories, in ascending order.

    Raises:
        XBindError: a category has no object.
    """
    labels = [CATEGORIES.index(name) for name in categories]
    category = data.labels[:, 0]
    for name, label in zip(categories, labels, strict=True):
        if not bool((category == label).any()):
            raise XBindError(
                f"The rendered world has no {name}; the prior is to be trained on: "
                f"{', '.join(categories)}.\nRender more objects with --samples."
            )
    wanted = torch.tensor(labels, device=category.device)
    return torch.isin(category, wanted).nonzero().flatten()


def only_objects(data: Latents, objects: Int[Tensor, " n"]) -> Latents:
    """The latents and attributes of some objects; captions and sounds stay as they are."""
    return replace(
        data,
        colour=data.colour[objects],
        normal=data.normal[objects],
        image=data.image[objects],
        pose=data.pose[objects],
        labels=data.labels[objects],
        adjective=data.adjective[objects],
    )


@dataclass(frozen=True, slots=True)
class TargetDraw:
    """Batch of latents to denoise, with their conditions."""

    z: Float[Tensor, "b c h w"]
    objects: Int[Tensor, " b"]
    views: Int[Tensor, " b"]
    is_normal: Tensor
    """bool [b]."""


def draw_targets(
    data: Latents, count: int, generator: torch.Generator, *, normal_share: float
) -> TargetDraw:
    """Draw latents of random views, a share of them of normal maps.

    `generator` is on the device of the data, here and in whatever else draws from them.
    """
    on, (total, colours), normals = generator.device, data.colour.shape[:2], data.normal.shape[1]
    objects = torch.randint(total, (count,), generator=generator, device=on)
    views = torch.randint(colours, (count,), generator=generator, device=on)
    is_normal = torch.rand(count, generator=generator, device=on) < normal_share
    views = torch.where(is_normal, views % normals, views)
    z = torch.where(
        is_normal.view(-1, 1, 1, 1),
        data.normal[objects, views % normals],
        data.colour[objects, views],
    )
    return TargetDraw(z.float(), objects, views, is_normal)
