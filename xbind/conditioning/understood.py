"""Interpretation of a prompt: the nearest names of the bundle's vocabulary, with shares.

The share of a name is its softmax over all names of its kind, of the cosine between the prompt and
the name in a caption, times the factor that the encoder was trained with. It says which name is
nearer than the others, not whether any of them fits: cosines of sounds and pictures that the
encoder has never met overlap with those of known ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.config.options import Modality
from xbind.networks.frozen import AlignedEncoder

RECORDED = 5
"""Names of each kind that are kept."""
PRINTED = 3
"""Names of each kind that are printed, at most."""
PRINTED_SHARE = 0.05
"""Least share of a printed name; the nearest is printed in any case."""
UNDECIDED = 0.4
"""If the nearest name has less, none is singled out. In the mini world captions without a colour
give a colour at most .20 and captions without a thing a thing at most .31; those with one give it
at least .9, and held-out sounds at least .97."""
_BATCH = 32
_VERBS: dict[str, str] = {
    "text": "the text reads as", "image": "the image looks like", "audio": "the audio sounds like",
    "depth": "the depth map is shaped like", "video": "the video looks like",
    "thermal": "the thermal picture looks like", "imu": "the motion is like",
    "mix": "the mix is",
}  # fmt: skip
_COLOURED: tuple[Modality, ...] = ("text", "image", "video")
"""Modalities that can say a colour."""


@dataclass(frozen=True, slots=True)
class Share:
    """A name and how near it is, relative to the others of its kind."""

    name: str
    share: float
    """In [0, 1]; 1 over all names of the kind."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Interpretation of one modality, or of the mix."""

    source: Modality | Literal["mix"]
    things: tuple[Share, ...]
    """The nearest first."""
    colours: tuple[Share, ...]
    """Likewise; empty where the bundle names none or the modality has none."""

    def line(self) -> str:
        """Returns a line for the user, such as `the audio sounds like: drum .62, bell .21`."""
        kinds = [
            _printed(shares, kind)
            for shares, kind in ((self.things, "thing"), (self.colours, "colour"))
            if shares
        ]
        return f"{_VERBS[self.source]}: {'; '.join(kinds)}"

    def record(self) -> dict[str, dict[str, float]]:
        """Returns data for `config.json`: kind → name → share, four digits."""
        kinds = {"things": self.things, "colours": self.colours}
        return {
            kind: {each.name: round(each.share, 4) for each in shares}
            for kind, shares in kinds.items()
            if shares
        }


def understand(
    embeddings: Mapping[Modality, Float[Tensor, " d"]],
    mix: Float[Tensor, " d"],
    encoder: AlignedEncoder,
) -> tuple[Reading, ...]:
    """Read each modality of a prompt, and the mix where there are several.

    Args:
        embeddings: modality → unit vector.
        mix: C_m.
        encoder: its closed vocabulary, or the list of names that its bundle brings, is compared
            with; without either there are no readings.
    """
    things = encoder.groups.get("things") or encoder.names
    if not things:
        return ()
    named = _embed_names([f"{article(name)} {name}" for name in things], encoder)
    hues = encoder.groups.get("colours", [])
    coloured = _embed_names([f"something {name}" for name in hues], encoder) if hues else None

    def read(source: Modality | Literal["mix"], embedding: Tensor, *, colour: bool) -> Reading:
        shares = _shares(things, named, embedding, encoder)
        if coloured is None or not colour:
            return Reading(source, shares, ())
        return Reading(source, shares, _shares(hues, coloured, embedding, encoder))

    readings = [read(m, e, colour=m in _COLOURED) for m, e in embeddings.items()]
    if len(embeddings) > 1:
        readings.append(read("mix", mix, colour=any(m in _COLOURED for m in embeddings)))
    return tuple(readings)


def article(name: str) -> str:
    """Return "an" before a vowel, else "a"."""
    return "an" if name[:1].lower() in "aeiou" else "a"


def _embed_names(captions: Sequence[str], encoder: AlignedEncoder) -> Float[Tensor, "n d"]:
    ids = torch.tensor([encoder.tokenizer.encode(caption).ids for caption in captions])
    with torch.inference_mode():
        return torch.cat([encoder.embed("text", some) for some in ids.split(_BATCH)])


def _shares(
    names: Sequence[str],
    embeddings: Float[Tensor, "n d"],
    embedding: Float[Tensor, " d"],
    encoder: AlignedEncoder,
) -> tuple[Share, ...]:
    shares = (encoder.text_scale * embeddings @ embedding).softmax(0)
    best = shares.topk(min(RECORDED, len(names)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple(Share(names[i], share) for i, share in pairs)


def _printed(shares: Sequence[Share], kind: str) -> str:
    shown = [s for i, s in enumerate(shares[:PRINTED]) if i == 0 or s.share >= PRINTED_SHARE]
    names = ", ".join(f"{s.name} {f'{s.share:.2f}'.removeprefix('0')}" for s in shown)
    return names if shares[0].share >= UNDECIDED else f"no one {kind} ({names})"
