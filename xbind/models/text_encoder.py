"""The text encoder of a 2D prior: texts to contexts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from xbind.models.tokenizer import BpeTokenizer


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """CLIP's text tower with its tokenizer, as Stable Diffusion 2 reads it."""

    model: Any
    """A CLIPTextModel; in its output the last norm is applied."""
    tokenizer: BpeTokenizer
    pad: int
    """Token id behind the end of a text."""

    @property
    def places(self) -> int:
        """Tokens of a text that it reads, without begin and end."""
        return self.tokenizer.length - 2

    def encode(self, texts: Sequence[str]) -> Float[Tensor, "n l c"]:
        """The contexts of some texts; "" is the empty prompt.

        Raises:
            ValueError: a text has more tokens than `places`.
        """
        ids = [self.tokenizer.encode(text, pad=self.pad).ids for text in texts]
        with torch.inference_mode():
            contexts: Tensor = self.model(torch.tensor(ids)).last_hidden_state
        return contexts.clone()
