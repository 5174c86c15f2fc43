"""Caption banks: token ids and the attributes each caption names, for contrastive training."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from xbind.mini.world.captions import VOCABULARY, caption
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES
from xbind.models.tokenizer import WordTokenizer

CONTEXT_LENGTH = 16
"""Text positions of the mini encoder."""
ADJECTIVES = ("", "tall", "short")
"""Adjective of the data's codes 0, 1, 2."""
PER_CELL = 10
"""Captions drawn per category, colour, adjective and kind."""


def build_tokenizer() -> WordTokenizer:
    """The closed vocabulary of the mini bundle."""
    return WordTokenizer(VOCABULARY, CONTEXT_LENGTH)


@dataclass(frozen=True, slots=True)
class Bank:
    """Captions of every cell, drawn once by a seed."""

    ids: Int[Tensor, "n length"]
    """Token ids."""
    category: Int[Tensor, " n"]
    """Category named by the caption, −1 for none."""
    colour: Int[Tensor, " n"]
    """Colour named by the caption, −1 for none."""
    adjective: Int[Tensor, " n"]
    """1 tall, 2 short, 0 when the caption names none."""
    rows: dict[tuple[str, int, int, int], Tensor]
    """(kind, category, colour, adjective of the object) → rows of its captions."""


def build_bank(seed: int = 0) -> Bank:
    """Draw `PER_CELL` captions of each kind for every category, colour and adjective."""
    tokenizer, generator = build_tokenizer(), torch.Generator().manual_seed(seed)
    ids: list[list[int]] = []
    named: list[tuple[int, int, int]] = []
    rows: dict[tuple[str, int, int, int], Tensor] = {}
    for k, category in enumerate(CATEGORIES):
        for c, colour in enumerate(COLOUR_NAMES):
            for a, adjective in enumerate(ADJECTIVES):
                for kind in ("full", "colour", "category", "normal"):
                    first = len(ids)
                    for _ in range(PER_CELL):
                        words = caption(category, colour, adjective, generator, kind)
                        ids.append(tokenizer.encode(words).ids)
                        tall = a if adjective and adjective in words.split() else 0
                        named.append(
                            (
                                -1 if kind == "colour" else k,
                                c if kind in ("full", "colour") else -1,
                                tall,
                            )
                        )
                    rows[kind, k, c, a] = torch.arange(first, len(ids))
    attributes = torch.tensor(named)
    return Bank(torch.tensor(ids), attributes[:, 0], attributes[:, 1], attributes[:, 2], rows)


def caption_table(bank: Bank, kinds: tuple[str, ...]) -> Int[Tensor, "s k c a n"]:
    """Rows of the bank by kind of caption, category, colour and adjective of the object."""
    cells = (len(CATEGORIES), len(COLOUR_NAMES), len(ADJECTIVES))
    rows = [bank.rows[kind, *cell] for kind in kinds for cell in np.ndindex(cells)]
    return torch.stack(rows).view(len(kinds), *cells, PER_CELL)


def draw_captions(
    bank: Bank,
    labels: Int[Tensor, "b 2"],
    adjective: Int[Tensor, " b"],
    is_normal: Bool[Tensor, " b"],
    generator: torch.Generator,
) -> Int[Tensor, " b"]:
    """Returns one row per object of the caption bank; normal maps get captions without a colour."""
    u = torch.rand(len(labels), 2, generator=generator).tolist()
    chosen = []
    for (k, c), a, normal, (kind_u, row_u) in zip(
        labels.tolist(), adjective.tolist(), is_normal.tolist(), u, strict=True
    ):
        if normal:
            kind = "normal" if kind_u < 0.5 else "category"
        else:
            kind = "full" if kind_u < 0.8 else ("category" if kind_u < 0.9 else "colour")
        rows = bank.rows[kind, k, c, a]
        chosen.append(int(rows[int(row_u * len(rows))]))
    return torch.tensor(chosen)


def matches(
    bank: Bank,
    rows: Int[Tensor, " n"],
    labels: Int[Tensor, "b 2"],
    adjective: Int[Tensor, " b"],
    is_normal: Bool[Tensor, " b"],
) -> tuple[Bool[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """(true, undecided): does caption j describe image i; undecided pairs are left out of the loss.

    A normal map shows no colour, so a caption that names one is undecided for it when the
    category fits.
    """
    category, colour, tall = bank.category[rows], bank.colour[rows], bank.adjective[rows]
    fits_category = (category[None] < 0) | (category[None] == labels[:, :1])
    fits_colour = (colour[None] < 0) | (colour[None] == labels[:, 1:])
    fits_shape = (tall[None] == 0) | (tall[None] == adjective[:, None])
    names_colour = (colour >= 0)[None] & is_normal[:, None]
    true = fits_category & fits_colour & fits_shape & ~names_colour
    return true, names_colour & fits_category
