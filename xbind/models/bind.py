"""The aligned encoder C(·) in ImageBind's layout: one trunk per modality, one embedding space.

Parameter names are the official ones (`modality_preprocessors.vision.rgbt_stem.proj…`,
`modality_trunks.text.blocks.0.attn.in_proj_weight`, …), so an official checkpoint of the same
shape loads key for key. Depth, width and stems come from `BindConfig`.

Notation: b items, n tokens, d embedding.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Modality = Literal["vision", "text", "audio", "depth"]
"""The modalities that this implementation can hold; a bundle may have fewer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StemLayer:
    """One convolution of a stem."""

    channels: int
    """Output channels."""
    kernel: int
    """Side of the square kernel."""
    stride: int
    """Stride on both axes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkConfig:
    """One modality's stem, trunk and head."""

    width: int
    """Token width."""
    depth: int
    """Transformer blocks."""
    heads: int
    """Attention heads."""
    input_size: tuple[int, int] = (0, 0)
    """Height and width of the input (mel bins × frames for audio); unused for text."""
    stem: tuple[StemLayer, ...] = ()
    """Patch embedding; more than one layer makes a convolutional stem. Empty for text."""
    channels: int = 1
    """Input channels."""
    frames: int = 1
    """Temporal kernel of the first convolution; ImageBind's vision stem repeats its image: 2."""
    bias_kv: bool = False
    """A learnt extra key and value per block, as in ImageBind's audio, depth, thermal and IMU."""
    pre_norm: bool = False
    """A LayerNorm before the first block, as in ImageBind's vision trunk."""
    stem_norm: bool = False
    """A LayerNorm after the patch embedding, as in ImageBind's audio and depth stems."""
    logit_scale: float | None = None
    """Factor after the L2 norm (20 for audio, 5 for depth); None leaves a unit vector."""
    learnt_scale: bool = False
    """Whether the factor is a parameter, clipped at 100, as in ImageBind's text tower."""


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


class _Normalize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=-1)


class _LogitScaling(nn.Module):
    """Multiply by exp(log_logit_scale), at most 100 (ImageBind's `LearnableLogitScaling`)."""

    def __init__(self, scale: float, *, learnt: bool) -> None:
        super().__init__()
        log_scale = torch.ones([]) * math.log(scale)
        if learnt:
            self.log_logit_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_logit_scale", log_scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.log_logit_scale.exp().clamp(max=100) * x


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(nn.functional.gelu(self.fc1(x))))


class _Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = nn.MultiheadAttention(
            config.width, config.heads, add_bias_kv=config.bias_kv, batch_first=True
        )
        self.norm_2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = _Mlp(config.width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        h = self.norm_1(x)
        x = x + self.attn(h, h, h, attn_mask=mask, need_weights=False)[0]
        return cast(Tensor, x + self.mlp(self.norm_2(x)))


class _Trunk(nn.Module):
    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        norm = nn.LayerNorm(config.width, eps=1e-6) if config.pre_norm else nn.Identity()
        self.pre_transformer_layer = nn.Sequential(norm)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        tokens = self.pre_transformer_layer(tokens)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens


class _RepeatFrames(nn.Module):
    """An image becomes a clip of equal frames (ImageBind's `PadIm2Video`, repeat)."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, None].expand(-1, -1, self.frames, -1, -1) if x.ndim == 4 else x


def _stem_layers(config: TrunkConfig) -> list[nn.Module]:
    """Convolutions of a stem; GroupNorm and SiLU between them when there is more than one."""
    layers: list[nn.Module] = [_RepeatFrames(config.frames)] if config.frames > 1 else []
    channels = config.channels
    for i, layer in enumerate(config.stem):
        last = i == len(config.stem) - 1
        if config.frames > 1:
            time = config.frames if i == 0 else 1
            kernel, stride = (time, layer.kernel, layer.kernel), (time, layer.stride, layer.stride)
            layers.append(nn.Conv3d(channels, layer.channels, kernel, stride, bias=False))
        else:
            overlap = (layer.kernel - layer.stride + 1) // 2
            padding = overlap if len(config.stem) > 1 else 0
            layers.append(
                nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, padding, bias=False)
            )
        if not last:
            layers += [nn.GroupNorm(8, layer.channels), nn.SiLU()]
        channels = layer.channels
    return layers


class _PatchEmbed(nn.Module):
    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        layers = _stem_layers(config)
        self.proj = nn.Sequential(*layers) if len(layers) > 1 else layers[0]
        self.norm_layer = nn.LayerNorm(config.width) if config.stem_norm else None

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.proj(x).flatten(2).transpose(1, 2)
        return tokens if self.norm_layer is None else cast(Tensor, self.norm_layer(tokens))


class _PositionTable(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)


def _token_count(config: TrunkConfig) -> int:
    height, width = config.input_size
    for layer in config.stem:
        padding = (layer.kernel - layer.stride + 1) // 2 if len(config.stem) > 1 else 0
        height = (height + 2 * padding - layer.kernel) // layer.stride + 1
        width = (width + 2 * padding - layer.kernel) // layer.stride + 1
    return height * width


class _GridPreprocessor(nn.Module):
    """Image, spectrogram or depth map → tokens, a class token first."""

    def __init__(self, config: TrunkConfig, *, stem_name: str) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.stem_name = stem_name
        self.add_module(stem_name, _PatchEmbed(config))
        self.pos_embedding_helper = _PositionTable(_token_count(config) + 1, config.width)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.get_submodule(self.stem_name)(x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1)
        return tokens + self.pos_embedding_helper.pos_embed


class _TextPreprocessor(nn.Module):
    mask: Tensor

    def __init__(self, config: BindConfig) -> None:
        super().__init__()
        width, length = config.trunks["text"].width, config.context_length
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.pos_embed = nn.Parameter(torch.zeros(1, length, width))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.01)
        self.register_buffer("mask", torch.full((length, length), -torch.inf).triu(1))

    def forward(self, ids: Tensor) -> Tensor:
        return cast(Tensor, self.token_embedding(ids) + self.pos_embed)


class _SelectEos(nn.Module):
    """Project the token of the highest id: the end of text."""

    def __init__(self, width: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.LayerNorm(width, eps=1e-6), nn.Linear(width, embed_dim, bias=False)
        )

    def forward(self, tokens: Tensor, eos: Tensor) -> Tensor:
        rows = torch.arange(len(tokens), device=tokens.device)
        return cast(Tensor, self.proj(tokens[rows, eos]))


class _SelectClass(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


def _head(name: str, config: BindConfig) -> nn.Module:
    width = config.trunks[name].width
    if name == "text":
        return _SelectEos(width, config.embed_dim)
    return nn.Sequential(
        nn.LayerNorm(width, eps=1e-6),
        _SelectClass(),
        nn.Linear(width, config.embed_dim, bias=False),
    )


def _postprocessor(trunk: TrunkConfig) -> nn.Module:
    if trunk.logit_scale is None:
        return _Normalize()
    scaling = _LogitScaling(trunk.logit_scale, learnt=trunk.learnt_scale)
    return nn.Sequential(_Normalize(), scaling)


class BindModel(nn.Module):
    """ImageBind: any modality → one vector of the shared space."""

    def __init__(self, config: BindConfig) -> None:
        super().__init__()
        self.config = config
        names = config.trunks
        self.modality_preprocessors = nn.ModuleDict(
            {
                name: _TextPreprocessor(config)
                if name == "text"
                else _GridPreprocessor(
                    trunk, stem_name="depth_stem" if name == "depth" else "rgbt_stem"
                )
                for name, trunk in names.items()
            }
        )
        self.modality_trunks = nn.ModuleDict({n: _Trunk(trunk) for n, trunk in names.items()})
        self.modality_heads = nn.ModuleDict({n: _head(n, config) for n in names})
        self.modality_postprocessors = nn.ModuleDict(
            {n: _postprocessor(trunk) for n, trunk in names.items()}
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
        self, modality: Modality, x: Float[Tensor, "b c h w"] | Int[Tensor, "b n"]
    ) -> Float[Tensor, "b d"]:
        """Embed a batch of one modality; all embeddings have unit length.

        The official per-modality factors (20 for audio, 5 for depth, …) belong to `scaled`.

        Args:
            modality: which trunk.
            x: vision: normalised images [b,3,h,w]; audio: normalised log-mel clips
                [b,1,mels,frames]; depth: normalised disparity [b,1,h,w]; text: token ids [b,n],
                of which the highest ends the text.

        Returns:
            Unit vectors, differentiable in `x` for all modalities but text.
        """
        return nn.functional.normalize(self.raw(modality, x), dim=-1)

    def scaled(self, modality: Modality, x: Tensor) -> Float[Tensor, "b d"]:
        """ImageBind's own output: unit vectors times the modality's factor."""
        return cast(Tensor, self.modality_postprocessors[modality](self.raw(modality, x)))
