"""The VAE of a prior: images ↔ latents of a `Resolution`, colour and normal maps alike.

Two parts: `train_vae` trains encoder and decoder; `fold_normalisation` then whitens the latent
space by rewriting the two 1×1 convolutions around it (so `scaling_factor` is 1), and
`train_decoder` goes on with the decoder alone while the priors already learn the frozen latents.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from xbind.mini.train.data import Split, World, alphas, draw, images, psnr
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.mini.train.resolutions import Resolution, resolution_of, resolution_with

NORMAL_SHARE = 0.25
"""Share of normal maps among the training images."""
START = "vae_start"
"""Checkpoint of a VAE for smaller pictures that a new one starts from: `unpack` writes it."""
FULL_FROM = 0.85
"""Progress at which crops give way to whole images."""


def build_vae(resolution: Resolution) -> AutoencoderKL:
    """A new AutoencoderKL."""
    count = len(resolution.widths)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        block_out_channels=resolution.widths,
        layers_per_block=1,
        latent_channels=resolution.channels,
        norm_num_groups=8,
        sample_size=resolution.image_size,
        scaling_factor=1.0,
    )


def vae_with(state: Mapping[str, Tensor]) -> AutoencoderKL:
    """The VAE that has these weights; its resolution is read from them."""
    vae = build_vae(resolution_with(len(state["post_quant_conv.bias"])))
    vae.load_state_dict(state)
    return vae


def start_from_smaller(vae: AutoencoderKL, state: Mapping[str, Tensor]) -> None:
    """Copy what fits of a VAE for smaller pictures, which has fewer blocks.

    Blocks correspond by their distance from the picture: edges look alike, per pixel, at every size
    of picture. Blocks next to the latents are new.
    """
    own = vae.state_dict()
    blocks = {name.split(".")[2] for name in state if name.startswith("decoder.up_blocks.")}
    shift = len(vae.config.block_out_channels) - len(blocks)
    for name, value in state.items():
        path = name.split(".")
        if path[:2] == ["decoder", "up_blocks"]:
            path[2] = str(int(path[2]) + shift)
        target = ".".join(path)
        if target in own and own[target].shape == value.shape:
            own[target] = value
    vae.load_state_dict(own)


def _soften(x: Tensor, generator: torch.Generator) -> Tensor:
    """Early NeRF renders are blurred or ghosted: some batches are too."""
    kind = torch.rand((), generator=generator)
    if kind < 0.1:
        factor = 2 if torch.rand((), generator=generator) < 0.5 else 4
        small = nn.functional.avg_pool2d(x, factor)
        return nn.functional.interpolate(small, size=x.shape[-1], mode="bilinear")
    if kind < 0.2:
        mix = torch.rand((), generator=generator)
        return mix * x + (1 - mix) * x.flip(0)
    return x


def _crop(x: Tensor, resolution: Resolution, generator: torch.Generator) -> Tensor:
    """Returns a random or central square crop, aligned to the latent grid."""
    side, room = resolution.crop_px, resolution.image_size - resolution.crop_px
    places = room // resolution.factor + 1
    top, left = (resolution.factor * torch.randint(places, (2,), generator=generator)).tolist()
    if torch.rand((), generator=generator) < 0.5:
        top = left = room // 2
    return x[..., top : top + side, left : left + side]


def _reconstruction(y: Tensor, x: Tensor) -> Tensor:
    """Squared and absolute error, three times heavier on the object, plus image gradients."""
    flat = (x - x[..., :1, :1]).abs().amax(1, keepdim=True) < 0.02
    weight = 3.0 - 2.0 * flat
    d = y - x
    edges = d.diff(dim=-1).abs().mean() + d.diff(dim=-2).abs().mean()
    return (weight * d.square()).mean() + 0.1 * (weight * d.abs()).mean() + 0.1 * edges


def validate_vae(vae: AutoencoderKL, split: Split) -> Mapping[str, float]:
    """PSNR on held-out objects: whole image, foreground, and normal maps."""
    generator = torch.Generator().manual_seed(7)
    figures = {}
    for name, share in (("colour", 0.0), ("normal", 1.0)):
        drawn = draw(split, 96, generator, normal_share=share)
        x, alpha = images(split, drawn), alphas(split, drawn)
        z = vae.encode(x * 2 - 1).latent_dist
        y = (vae.decode(z.mean).sample / 2 + 0.5).clamp(0, 1)
        square = (y - x).square()
        foreground = (square.mean(1, keepdim=True) * alpha).sum((1, 2, 3)) / alpha.sum((1, 2, 3))
        figures[f"psnr_{name}"] = psnr(square.mean((1, 2, 3))).mean().item()
        figures[f"psnr_{name}_foreground"] = psnr(foreground).mean().item()
    return figures


def train_vae(world: World, work: Path, config: LoopConfig) -> None:
    """Encoder and decoder together, to `work/vae.pt`.

    Where there is a `vae_start.pt`, a new one starts from it (`start_from_smaller`).
    """
    torch.manual_seed(config.seed)  # diffusers' modules draw their initial weights globally
    resolution = resolution_of(world.train.size)
    vae = build_vae(resolution)
    if (work / f"{START}.pt").exists():
        start_from_smaller(vae, averaged(work / f"{START}.pt"))
    full_step = FULL_FROM * config.samples / config.batch

    def losses(step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        full = step >= full_step
        count = config.batch // 2 if full else config.batch
        x = images(world.train, draw(world.train, count, generator, normal_share=NORMAL_SHARE))
        x = _soften(x if full else _crop(x, resolution, generator), generator) * 2 - 1
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample(generator)).sample
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        fit = _reconstruction(y, x)
        return {"loss": fit + 8e-4 * kl, "fit": fit, "kl": kl}

    train("vae", vae, losses, config, work, validate=lambda _: validate_vae(vae, world.held_out))


def fold_normalisation(world: World, work: Path) -> None:
    """Whiten the latents per channel inside the VAE's own 1×1 convolutions → `vae_folded.pt`."""
    vae = vae_with(averaged(work / "vae.pt")).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        x = images(world.train, draw(world.train, 512, generator, normal_share=NORMAL_SHARE))
        z = torch.cat([vae.encode(part * 2 - 1).latent_dist.mean for part in x.split(64)])
        mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3))
        into, out, k = vae.quant_conv, vae.post_quant_conv, len(mean)
        into.weight[:k] /= std.view(k, 1, 1, 1)
        into.bias[:k] = (into.bias[:k] - mean) / std
        into.bias[k:] -= 2 * std.log()
        out.bias += out.weight[:, :, 0, 0] @ mean
        out.weight *= std.view(1, k, 1, 1)
    torch.save({"ema": vae.state_dict()}, work / "vae_folded.pt")


def train_decoder(world: World, work: Path, config: LoopConfig) -> None:
    """The decoder alone on frozen latents (with a little latent noise), to `vae_decoder.pt`."""
    vae = vae_with(averaged(work / "vae_folded.pt"))
    decoder = nn.ModuleDict({"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv})
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw(world.train, config.batch, generator, normal_share=NORMAL_SHARE)
        x = _soften(images(world.train, drawn), generator) * 2 - 1
        with torch.no_grad():
            z = vae.encode(x).latent_dist.mean
            level = 0.1 * torch.rand(len(z), 1, 1, 1, generator=generator)
            z = z + level * torch.randn(z.shape, generator=generator)
        fit = _reconstruction(vae.decode(z).sample, x)
        return {"loss": fit}

    train(
        "vae_decoder",
        decoder,
        losses,
        config,
        work,
        validate=lambda _: validate_vae(vae, world.held_out),
    )


def load_vae(work: Path) -> AutoencoderKL:
    """The folded VAE, with the decoder's further training when there is one."""
    vae = vae_with(averaged(work / "vae_folded.pt"))
    if (work / "vae_decoder.pt").exists():
        missing = vae.load_state_dict(averaged(work / "vae_decoder.pt"), strict=False)
        assert not missing.unexpected_keys
    return vae.eval().requires_grad_(False)
