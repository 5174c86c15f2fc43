"""The aligned encoder C(·) in ImageBind's layout: one trunk per modality, one embedding space.

Parameter names are the official ones (`modality_preprocessors.vision.rgbt_stem.proj…`,
`modality_trunks.text.blocks.0.attn.in_proj_weight`, …), so an official checkpoint of the same
shape loads key for key. Depth, width and stems come from `BindConfig`.

Notation: b items, n tokens, d embedding.
"""

from typing import cast

from jaxtyping import Float, Int
from torch import Tensor, nn

from xbind.models.bind_config import BindConfig, Modality
from xbind.models.bind_layers import Trunk, head, postprocessor, preprocessor


class BindModel(nn.Module):
    """ImageBind: any modality → one vector of the shared space."""

    def __init__(self, config: BindConfig) -> None:
        super().__init__()
        self.config = config
        names = config.trunks
        self.modality_preprocessors = nn.ModuleDict({n: preprocessor(n, config) for n in names})
        self.modality_trunks = nn.ModuleDict({n: Trunk(trunk) for n, trunk in names.items()})
        self.modality_heads = nn.ModuleDict({n: head(n, config) for n in names})
        self.modality_postprocessors = nn.ModuleDict(
            {n: postprocessor(trunk) for n, trunk in names.items()}
        )

    def raw(self, modality: Modality, x: Tensor) -> Float[Tensor, "b d"]:
        """The head's output, not normalised: see `embed` for the inputs."""
        tokens = self.modality_preprocessors[modality](x)
        trunk, head = self.modality_trunks[modality], self.modality_heads[modality]
        if modality == "text":
            mask = self.modality_preprocessors["text"].mask
            return cast(Tensor, head(trunk(tokens, mask), x.argmax(-1)))
        return cast(Tensor, head(trunk(tokens)))

    def embed(
        self, modality: Modality, x: Float[Tensor, "b c *size"] | Int[Tensor, "b n"]
    ) -> Float[Tensor, "b d"]:
        """Embed a batch of one modality; all embeddings have unit length.

        The official per-modality factors (20 for audio, 5 for depth, …) belong to `scaled`.

        Args:
            modality: which trunk.
            x: vision: normalised images [b,3,h,w] or clips of frames [b,3,t,h,w]; audio:
                normalised log-mel clips [b,1,mels,frames]; depth: normalised disparity [b,1,h,w];
                thermal: grey values [b,1,h,w]; imu: six channels over time [b,6,n]; text: token
                ids [b,n], of which the highest ends the text.

        Returns:
            Unit vectors, differentiable in `x` for all modalities but text.
        """
        return nn.functional.normalize(self.raw(modality, x), dim=-1)

    def scaled(self, modality: Modality, x: Tensor) -> Float[Tensor, "b d"]:
        """ImageBind's own output: unit vectors times the modality's factor."""
        return cast(Tensor, self.modality_postprocessors[modality](self.raw(modality, x)))
