"""The shape of an ImageBind-layout encoder as data, and ImageBind-huge's."""

from dataclasses import dataclass, field
from typing import Any, Literal

Modality = Literal["vision", "text", "audio", "depth", "thermal", "imu"]
"""The modalities that this implementation can hold; a bundle may have fewer. Video is vision."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StemLayer:
    """Configuration of one convolution of a stem."""

    channels: int
    """Output channels."""
    kernel: int
    """Side of the square kernel."""
    stride: int
    """Stride on both axes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkConfig:
    """Configuration of one modality's stem, trunk and head."""

    width: int
    """Token width."""
    depth: int
    """Transformer blocks."""
    heads: int
    """Attention heads."""
    input_size: tuple[int, int] = (0, 0)
    """Height and width of the input (mel bins × frames for audio, channels × samples for a series);
    unused for text."""
    stem: tuple[StemLayer, ...] = ()
    """Patch embedding; more than one layer makes a convolutional stem. Empty for text."""
    channels: int = 1
    """Input channels."""
    window: int = 0
    """Samples of a token of a series over time, such as ImageBind's IMU (8); 0 for all others."""
    frames: int = 1
    """Temporal kernel of the first convolution; ImageBind's vision stem repeats its image: 2."""
    bias_kv: bool = False
    """A learnt extra key and value per block, as in ImageBind's audio, depth, thermal and IMU."""
    pre_norm: bool = False
    """A LayerNorm before the first block, as in ImageBind's vision trunk."""
    stem_norm: bool = False
    """A LayerNorm after the patch embedding, as in ImageBind's audio and depth stems."""
    logit_scale: float | None = None
    """Factor after the L2 norm (20 for audio, 10 for thermal, 5 for depth and IMU); None leaves a
    unit vector."""
    learnt_scale: bool = False
    """True if the factor is a parameter, clipped at 100, as in ImageBind's text tower."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BindConfig:
    """The whole encoder."""

    embed_dim: int
    """d, the size of the shared space."""
    vocab_size: int
    """Text tokens; the highest id is the end of text."""
    context_length: int
    """Text positions."""
    trunks: dict[str, TrunkConfig] = field(default_factory=dict)
    """Modality → its trunk."""

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "BindConfig":
        """Read the `config.json` of a bundle's `bind/` folder."""
        trunks = {
            name: TrunkConfig(
                **{
                    **values,
                    "stem": tuple(StemLayer(**layer) for layer in values.get("stem", ())),
                    "input_size": tuple(values.get("input_size", (0, 0))),
                }
            )
            for name, values in raw["trunks"].items()
        }
        return cls(
            embed_dim=raw["embed_dim"],
            vocab_size=raw["vocab_size"],
            context_length=raw["context_length"],
            trunks=trunks,
        )


def imagebind_huge() -> BindConfig:
    """The encoder of `imagebind_huge.pth`: 1.2 billion parameters."""

    def patches(width: int, kernel: int, stride: int) -> tuple[StemLayer, ...]:
        return (StemLayer(channels=width, kernel=kernel, stride=stride),)

    return BindConfig(
        embed_dim=1024,
        vocab_size=49408,
        context_length=77,
        trunks={
            "vision": TrunkConfig(
                width=1280, depth=32, heads=16, input_size=(224, 224), channels=3, frames=2,
                pre_norm=True, stem=patches(1280, 14, 14),
            ),
            "text": TrunkConfig(
                width=1024, depth=24, heads=16, logit_scale=1 / 0.07, learnt_scale=True
            ),
            "audio": TrunkConfig(
                width=768, depth=12, heads=12, input_size=(128, 204), bias_kv=True, stem_norm=True,
                stem=patches(768, 16, 10), logit_scale=20.0,
            ),
            "depth": TrunkConfig(
                width=384, depth=12, heads=8, input_size=(224, 224), bias_kv=True, stem_norm=True,
                stem=patches(384, 16, 16), logit_scale=5.0,
            ),
            "thermal": TrunkConfig(
                width=768, depth=12, heads=12, input_size=(224, 224), bias_kv=True, stem_norm=True,
                stem=patches(768, 16, 16), logit_scale=10.0,
            ),
            "imu": TrunkConfig(
                width=512, depth=6, heads=8, input_size=(6, 2000), channels=6, window=8,
                bias_kv=True, stem_norm=True, logit_scale=5.0,
            ),
        },
    )  # fmt: skip
