"""How good the 2D prior's samples are, and the reference views chosen among them.

That a sample has the right category and colour says nothing about smears. The figures here stand
beside those of real views of the same categories and colours.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.algorithm.reference_view import condition_unclip, make_reference_view
from xbind.conditioning.prompt import encode_prompt
from xbind.config.method import ReferenceConfig
from xbind.config.options import PromptConfig
from xbind.diffusion.latents import decode, encode
from xbind.evaluation.figures import kernel_distances_of_each, nearest_distances
from xbind.mini.judging import MiniJudge, real_objects
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.models.convnet import ConvNet
from xbind.networks.frozen import Bundle

APART = 4
"""Real objects of each category that are measured as the samples are, beside the other ones."""
EVERY = 4
"""Of their views every fourth is measured."""


def sharpness(image: Float[Tensor, "b 3 s s"]) -> Float[Tensor, " b"]:
    """Returns Σ|∇x|² / Σ|∇x|: the mean slope of edges, weighted by itself, per pixel.

    A blur that spreads every edge over k times its width divides it by k. A picture of one
    colour has 0.
    """
    right = image[..., :-1, 1:] - image[..., :-1, :-1]
    down = image[..., 1:, :-1] - image[..., :-1, :-1]
    square = (right.square() + down.square()).sum(1)
    return square.sum((1, 2)) / square.sqrt().sum((1, 2)).clamp_min(1e-12)


def measure_samples(
    bundle: Bundle,
    judge: ConvNet,
    config: ReferenceConfig,
    *,
    categories: Sequence[str] = CATEGORIES,
) -> tuple[Mapping[str, float], Float[Tensor, "k n 3 s s"]]:
    """Draw the candidates of one prompt per category, and choose one as a run does.

    Kernel distance (`kernel_distances_of_each`) and nearest distance are between the judge's
    features of a picture and those of real views of its category and colour, from all sides. They
    and the sharpness are means over all samples, over the chosen ones, and over views of other
    real objects: the best that can be expected.

    Args:
        bundle: whose prior draws and whose networks choose.
        judge: that has no part in the choice.
        config: of the reference view.
        categories: that are asked for.

    Returns:
        The figures, and for each category the chosen sample, then all of them.
    """
    samples, chosen, rows = [], [], []
    for k, category in enumerate(categories):
        colour = 3 * k % len(COLOUR_NAMES)
        images, best = _candidates(bundle, config, category, colour, seed=k)
        samples.append(images)
        chosen.append(images[best])
        views = torch.stack([x.image for x in real_objects(category, COLOUR_NAMES[colour]).views])
        real = MiniJudge(judge).look(views[APART:].flatten(0, 1)).features
        others = views[:APART, ::EVERY].flatten(0, 1)
        with torch.inference_mode():
            copies = decode(bundle.unclip.vae, encode(bundle.unclip.vae, others))
        shown = {"samples": images, "chosen": images[best : best + 1], "real": others}
        rows.append(
            {
                f"{name}_{figure}": value
                for name, pictures in (shown | {"real_vae": copies}).items()
                for figure, value in _figures(pictures, real, judge).items()
            }
        )
    figures = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    return figures, torch.stack(
        [torch.cat([best[None], all_of]) for best, all_of in zip(chosen, samples, strict=True)]
    )


def _figures(
    pictures: Float[Tensor, "n 3 s s"], real: Float[Tensor, "m f"], judge: ConvNet
) -> dict[str, float]:
    features = MiniJudge(judge).look(pictures).features
    return {
        "kernel_distance": float(kernel_distances_of_each(features, real).mean()),
        "nearest_distance": float(nearest_distances(features, real).mean()),
        "sharpness": float(sharpness(pictures).mean()),
    }


def _candidates(
    bundle: Bundle, config: ReferenceConfig, category: str, colour: int, *, seed: int
) -> tuple[Float[Tensor, "n 3 s s"], int]:
    """The samples of a prompt, and the index of the chosen one."""
    words = prompts()[CATEGORIES.index(category) * len(COLOUR_NAMES) + colour]
    size = bundle.unclip.image_size
    prompt = encode_prompt(PromptConfig(text=words), bundle.bind, size, view=bundle.view)
    generator = torch.Generator().manual_seed(seed)
    labels = condition_unclip(
        prompt.conditioning[None], bundle.unclip, generator, noise_level=config.noise_level
    )
    shown: list[tuple[Tensor, int]] = []
    make_reference_view(
        prompt, labels, bundle, config, generator, show=lambda x, i: shown.append((x, i))
    )
    return shown[0]
