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
from xbind.evaluation.figures import kernel_distance
from xbind.mini.judging import VIEWS, MiniJudge, real_objects
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.models.convnet import ConvNet
from xbind.networks.frozen import Bundle

REAL_SETS = 4
"""Real objects of each category that are measured as the samples are, beside the other ones."""


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

    A kernel distance is between a set of one picture per category and the real views of all of
    them. That of the samples is the mean over the sets of each n-th candidate, with its standard
    deviation; the chosen ones are one such set, and real views of other objects are others.

    Args:
        bundle: whose prior draws and whose networks choose.
        judge: that has no part in the choice.
        config: of the reference view.
        categories: that are asked for; at least two.

    Returns:
        The figures, and for each category the chosen sample, then all of them.
    """
    looker = MiniJudge(judge)
    samples, chosen, real = [], [], []
    for k, category in enumerate(categories):
        colour = 3 * k % len(COLOUR_NAMES)
        images, best = _candidates(bundle, config, category, colour, seed=k)
        samples.append(images)
        chosen.append(best)
        real.append(real_objects(category, COLOUR_NAMES[colour]))
    drawn = torch.stack(samples)
    taken = drawn[torch.arange(len(drawn)), torch.tensor(chosen)]
    views = torch.stack([torch.stack([seen.image for seen in of.views]) for of in real])
    # one view of each category, of objects that are left out of the sets they are compared with
    apart, others = views[:, :REAL_SETS], views[:, REAL_SETS:]
    features = looker.look(others.flatten(0, 2)).features

    def distances(pictures: Float[Tensor, "k n 3 s s"]) -> Tensor:
        sets = pictures.transpose(0, 1)
        return torch.tensor([kernel_distance(looker.look(x).features, features) for x in sets])

    turns = torch.arange(REAL_SETS) * VIEWS // REAL_SETS
    single = apart[:, torch.arange(REAL_SETS), turns]
    of_samples = distances(drawn)
    vae = bundle.unclip.vae
    with torch.inference_mode():
        copied = decode(vae, encode(vae, single.flatten(0, 1)))
    figures = {
        "samples_kernel_distance": float(of_samples.mean()),
        "samples_kernel_distance_sd": float(of_samples.std()),
        "chosen_kernel_distance": float(distances(taken[:, None])),
        "real_kernel_distance": float(distances(single).mean()),
        "samples_sharpness": float(sharpness(drawn.flatten(0, 1)).mean()),
        "chosen_sharpness": float(sharpness(taken).mean()),
        "real_sharpness": float(sharpness(single.flatten(0, 1)).mean()),
        "real_vae_sharpness": float(sharpness(copied).mean()),
    }
    return figures, torch.cat([taken[:, None], drawn], 1)


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
