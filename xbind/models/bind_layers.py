"""The parts of an ImageBind-layout encoder: stems, trunks, heads and output factors.

Parameter names are the official ones; which parts a modality has is `TrunkConfig`'s to say.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from xbind.models.bind_config import BindConfig, TrunkConfig


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


class Trunk(nn.Module):
    """A transformer of one modality; text brings its causal mask."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        norm = nn.LayerNorm(config.width, eps=1e-6) if config.pre_norm else nn.Identity()
        self.pre_transformer_layer = nn.Sequential(norm)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens to tokens, [b, n, width]."""
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
        x = x[:, :, None] if x.ndim == 4 else x
        return x.expand(-1, -1, self.frames, -1, -1) if x.shape[2] == 1 else x


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


class _WindowEmbed(nn.Module):
    """A linear map of the channels of a window, and its norm: the stem of ImageBind's IMU."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.channels * config.window, config.width, bias=False)
        self.norm_layer = nn.LayerNorm(config.width)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm_layer(self.proj(x)))


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


class _SeriesPreprocessor(nn.Module):
    """Channels over time → one token per window of samples, a class token first."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.window = config.window
        tokens = config.input_size[1] // config.window + 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, config.width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.01)
        self.imu_stem = _WindowEmbed(config)

    def forward(self, x: Tensor) -> Tensor:
        windows = x.unflatten(-1, (-1, self.window)).transpose(1, 2).flatten(2)
        tokens = self.imu_stem(windows)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1)
        return tokens + self.pos_embed


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


def head(name: str, config: BindConfig) -> nn.Module:
    """Maps a modality's tokens to one vector of the shared space."""
    width = config.trunks[name].width
    if name == "text":
        return _SelectEos(width, config.embed_dim)
    # the official dropout of the IMU's head only moves the number in the linear layer's name
    dropout = [nn.Dropout(0.5)] if config.trunks[name].window else []
    return nn.Sequential(
        nn.LayerNorm(width, eps=1e-6),
        _SelectClass(),
        *dropout,
        nn.Linear(width, config.embed_dim, bias=False),
    )


def postprocessor(trunk: TrunkConfig) -> nn.Module:
    """ImageBind's own output scaling: the L2 norm and the modality's factor."""
    if trunk.logit_scale is None:
        return _Normalize()
    scaling = _LogitScaling(trunk.logit_scale, learnt=trunk.learnt_scale)
    return nn.Sequential(_Normalize(), scaling)


def preprocessor(name: str, config: BindConfig) -> nn.Module:
    """Maps a modality's input to tokens."""
    trunk = config.trunks[name]
    if name == "text":
        return _TextPreprocessor(config)
    if trunk.window:
        return _SeriesPreprocessor(trunk)
    return _GridPreprocessor(trunk, stem_name="depth_stem" if name == "depth" else "rgbt_stem")
