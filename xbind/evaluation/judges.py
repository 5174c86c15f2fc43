"""Judges of views: an independent network, and the network that guided, reported as self-judged."""

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from xbind.conditioning.text import encode_text
from xbind.diffusion.single_networks import UnitEmbedding
from xbind.errors import XBindError
from xbind.evaluation.figures import right_at_1
from xbind.models.preprocess import fit_image, normalise_image
from xbind.networks.frozen import AlignedEncoder
from xbind.networks.load import load_clip
from xbind.networks.manifest import BundleManifest
from xbind.system.untrusted import fault_of, guarded


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Scores of `v` views by one judge."""

    features: Float[Tensor, "v f"]
    """Before any decision: for cosines and distances."""
    scores: Float[Tensor, "v p"]
    """Similarity of each view and each prompt of the pool; only its order counts."""
    accepted: Bool[Tensor, " v"] | None = None
    """True for views that are not taken for a near miss; None if the judge knows no near misses."""


class Judge(Protocol):
    """Compares views with a pool of prompts."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def pool(self) -> Sequence[str]:
        """The prompts that R@1 is taken among."""

    def look(self, image: Float[Tensor, "v 3 s s"]) -> Look:
        """Judge views on white, in [0, 1]."""


FIRST_JUDGE = "judge"
"""Name of a bundle's first judge, whose figures have plain names, such as `clip_r`."""


def figure_of(name: str, judge: Judge) -> str:
    """Name of a judge's figure: `clip_r` of the first judge, else as `clip_r_self`."""
    return name if judge.name == FIRST_JUDGE else f"{name}_{judge.name}"


def recall_figures(
    judge: Judge, look: Look, right: Collection[int], *, seen: bool = True
) -> dict[str, float]:
    """CLIP-R of one judge, and that of views that are not taken for a near miss.

    Args:
        judge: who looked.
        look: the scores.
        right: numbers of the pool's prompts that are right.
        seen: False if there is no object in the views: then none is right.
    """
    at_1, name = right_at_1(look.scores, right) & seen, figure_of("clip_r", judge)
    figures = {name: float(at_1.float().mean())}
    if look.accepted is not None:
        figures[f"{name}_calibrated"] = float((at_1 & look.accepted).float().mean())
    return figures


@dataclass(frozen=True, slots=True, eq=False)
class SelfJudge:
    """The image encoder that the MS loss optimises, against the aligned encoder's text."""

    encoder: nn.Module
    """Normalised pixels → unit vectors."""
    size: int
    """Side of its images, in pixels."""
    pool: Sequence[str]
    text: Float[Tensor, "p d"]
    """Unit vectors of the pool's prompts."""
    name: str = "self"

    @torch.inference_mode()
    def look(self, image: Float[Tensor, "v 3 s s"]) -> Look:
        features = self.encoder(normalise_image(fit_image(image, self.size)))
        return Look(features, features @ self.text.mT)


def make_self_judge(
    manifest: BundleManifest, aligned: AlignedEncoder, pool: Sequence[str]
) -> SelfJudge:
    """The MS loss's encoder of a bundle.

    Raises:
        XBindError: the bundle's encoder cannot read a prompt of the pool.
    """
    encoder = UnitEmbedding(load_clip(manifest.part("clip")))
    with torch.inference_mode():
        ids = [encode_text(words, aligned.tokenizer, aligned.groups).ids for words in pool]
        text = torch.cat([aligned.model.embed("text", torch.stack(part)) for part in _batches(ids)])
    return SelfJudge(encoder, manifest.config("clip")["image_size"], pool, text)


def _batches(items: list[Tensor], size: int = 64) -> list[list[Tensor]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


class OpenClipJudge:
    """A CLIP of the `open_clip` package (extra `judges`)."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        tokenize: Callable[[list[str]], Tensor],
        pool: Sequence[str],
        name: str,
    ) -> None:
        """Embed the pool.

        Args:
            model: has `encode_image`, `encode_text`, and `visual` with `image_size`, `image_mean`
                and `image_std`.
            tokenize: p strings → ids [p, l].
            pool: the prompts.
            name: as tables call it.
        """
        self.name, self.pool, self._model = name, pool, model
        visual = model.visual
        size = visual.image_size
        self._size = int(size if isinstance(size, int) else size[0])
        self._mean, self._std = (
            torch.tensor(x).view(3, 1, 1) for x in (visual.image_mean, visual.image_std)
        )
        with torch.inference_mode():
            ids = tokenize(list(pool))
            self._text = torch.cat([self._unit(model.encode_text(x)) for x in ids.split(64)])

    @torch.inference_mode()
    def look(self, image: Float[Tensor, "v 3 s s"]) -> Look:
        """Judge views on white, in [0, 1]."""
        pixels = (fit_image(image, self._size) - self._mean) / self._std
        parts = [self._unit(self._model.encode_image(part)) for part in pixels.split(16)]
        features = torch.cat(parts)
        return Look(features, features @ self._text.mT)

    @staticmethod
    def _unit(x: Tensor) -> Tensor:
        return torch.nn.functional.normalize(x.float(), dim=-1)


OPEN_CLIPS = ("ViT-B-32", "ViT-B-16", "ViT-L-14")
"""The paper's judges, with OpenAI's weights."""
_QUICK = "-quickgelu"
"""Ends open_clip's names of architectures whose activation is QuickGELU, x · σ(1.702 x)."""


def load_open_clip(model: str, pool: Sequence[str], *, allow_download: bool) -> OpenClipJudge:
    """A judge of the `open_clip` package.

    OpenAI's weights, and some others, were trained with QuickGELU instead of GELU. No file says
    so; the activation is that of the named weights, or of the architecture where it names one.

    Args:
        model: `ARCHITECTURE[:WEIGHTS][@FILE]`; without a file, weights are OpenAI's by default.
        pool: the prompts.
        allow_download: whether weights that are no file may be fetched.

    Raises:
        XBindError: the package is missing, it cannot load the model, would have to fetch it, or
            it is not known which activation the weights of a file need.
    """
    named, _, file = model.partition("@")
    architecture, _, weights = named.partition(":")
    if not file and not allow_download:
        raise XBindError(
            f"To judge with {model}, open_clip would fetch its weights.\n"
            f"Allow it with --allow-download, or name a file: --judges {model}@FILE."
        )
    fault = fault_of(Path(file)) if file else None
    if fault is not None:
        raise XBindError(f"The file {file} {fault}.\nName one: --judges {named}@FILE.")
    try:
        import open_clip
    except ImportError as error:
        raise XBindError(
            f"To judge with {model} the package open_clip_torch is needed, and it is not "
            f"installed.\nInstall it with:  pip install 'xbind[judges]'"
        ) from error
    weights = weights or ("" if file else "openai")
    quick = _needs_quick_gelu(open_clip, architecture, weights)
    with guarded(
        lambda why: XBindError(
            f"open_clip cannot load {model}: {why}\n"
            f"Name an architecture that it knows, such as {', '.join(OPEN_CLIPS)}, and weights "
            f"that fit it (safetensors, or a plain table of tensors), to --judges."
        )
    ):
        warnings.filterwarnings("error", ".*QuickGELU mismatch", UserWarning)
        net = open_clip.create_model(
            architecture, pretrained=file or weights, force_quick_gelu=quick
        )
        tokenize = open_clip.get_tokenizer(architecture)
    if quick and not any(type(part).__name__ == "QuickGELU" for part in net.modules()):
        raise XBindError(
            f"The weights of {model} need QuickGELU, which open_clip did not build.\n"
            f"Update it with:  pip install --upgrade 'xbind[judges]'"
        )
    name = architecture if weights in ("", "openai") else f"{architecture}:{weights}"
    return OpenClipJudge(net.eval().requires_grad_(False), tokenize, pool, name)


def _needs_quick_gelu(open_clip: Any, architecture: str, weights: str) -> bool:  # noqa: ANN401
    """Returns True if the weights were trained with QuickGELU.

    Args:
        open_clip: the package.
        architecture: one of its names.
        weights: one of its names; empty for those of a file that are not named.

    Raises:
        XBindError: there are no such weights, or they are not named and could be of either kind.
    """
    if architecture.endswith(_QUICK):
        return True
    known = open_clip.list_pretrained_tags_by_model(architecture)
    quick = open_clip.list_pretrained_tags_by_model(architecture + _QUICK)
    if weights and weights not in known:
        raise XBindError(
            f"open_clip knows no weights {weights!r} of {architecture!r}; it knows: "
            f"{', '.join(known) or 'none'}.\n"
            f"Name some of them, --judges {architecture}:WEIGHTS, or an architecture that it has "
            f"weights for, such as {', '.join(OPEN_CLIPS)}."
        )
    if not weights and quick:
        raise XBindError(
            f"No file says whether its weights of {architecture} need GELU or QuickGELU.\n"
            f"Name the weights: --judges {architecture}:openai@FILE for OpenAI's, or one of "
            f"{', '.join(tag for tag in known if tag != 'openai')}."
        )
    return weights in quick
