"""The two diffusion priors: unCLIP (2D) and Zero-1-to-3 (3D), both v-prediction UNets."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Float, Int
from torch import Tensor, nn

from xbind.cameras import OWN_POSE_SCALE, Cameras, relative_pose, turned_pose
from xbind.guidance.noise import alphas_cumprod, scaled_linear_betas, squared_cosine_betas
from xbind.guidance.unclip import unclip_condition
from xbind.mini.train.bind import EMBED_DIM
from xbind.mini.train.captions import Bank, build_bank
from xbind.mini.train.convnet import load_seen_poses
from xbind.mini.train.data import World
from xbind.mini.train.latents import Latents, TargetDraw, draw_targets, load_latents
from xbind.mini.train.loop import LoopConfig, averaged, train

EMBEDDING_NORM = math.sqrt(EMBED_DIM)
"""Length at which unit embeddings condition both priors: unit variance per element."""
NORMAL_SHARE = 0.22
"""Share of normal maps among the targets."""
REFINE_T = 650
"""Normal maps and close views are only denoised below this timestep: Phase II shows them to the
priors at t ≤ 500. Above it a condition means a colour image of a whole object, so that is what is
sampled from noise."""
HIGH_NOISE = 0.6
"""Exponent of the timesteps' draw; 1 is uniform. 68 % of the draws lie in the upper half."""
FAR = 2.4
"""Camera distance from which a view shows the whole object."""
DROP = 0.1
"""Share of samples without a condition, for classifier-free guidance."""
POSE_ERROR = 0.1
"""Standard deviation of what is added to a reference's estimated angles, in radians."""
UNKNOWN_POSE = 0.15
"""Share of samples that are not told the reference's pose."""
NOISE_LEVEL = 600
"""Highest unCLIP noise level; 40 % of the conditions have level 0."""


def build_unet(in_channels: int, class_inputs: int) -> UNet2DConditionModel:
    """A new UNet of 4.2 M parameters on 16×16 latents."""
    attention = (False, True, True)
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=in_channels,
        out_channels=4,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple(
            "CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)
        ),
        block_out_channels=(64, 96, 96),
        layers_per_block=1,
        cross_attention_dim=EMBED_DIM,
        attention_head_dim=4,
        norm_num_groups=16,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=class_inputs,
    )


class Zero123Net(nn.Module):
    """UNet and camera projection under one roof, for the optimiser and the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = build_unet(8, EMBED_DIM)
        self.projection = nn.Linear(EMBED_DIM + 4 + 3, EMBED_DIM)


def _velocity(
    z: Tensor, t: Tensor, noise: Tensor, alpha_bar: Tensor
) -> tuple[Float[Tensor, "b 4 h w"], Float[Tensor, "b 4 h w"]]:
    """(z_t, v) of v-prediction: z_t = α z + σ ε, v = α ε − σ z."""
    a = alpha_bar[t].sqrt().view(-1, 1, 1, 1)
    s = (1 - alpha_bar[t]).sqrt().view(-1, 1, 1, 1)
    return a * z + s * noise, a * noise - s * z


def draw_timesteps(
    drawn: TargetDraw, pose: np.ndarray, generator: torch.Generator
) -> Int[Tensor, " b"]:
    """Noisier ones more often, since shape and pose are decided there: t = 1000 u^0.6.

    Normal maps and close views: the same, over the lower part of the schedule.
    """
    u = torch.rand(drawn.objects.shape, generator=generator)
    t = (1000 * u**HIGH_NOISE).long().clamp_max(999)
    distance = pose[drawn.objects.numpy(), drawn.views.numpy(), 2]
    refined = drawn.is_normal | torch.from_numpy(distance < FAR)
    return torch.where(refined, t * REFINE_T // 1000, t)


def draw_conditions(
    data: Latents, bank: Bank, drawn: TargetDraw, generator: torch.Generator
) -> Float[Tensor, "b d"]:
    """Unit embeddings of the same object: 43 % an image, 42 % a caption, 15 % a sound.

    Half of the images are another view, so that an embedding does not say which view is wanted.
    """
    count = len(drawn.objects)
    o = drawn.objects.numpy()
    other = torch.randint(data.colour.shape[1], (count,), generator=generator)
    same = torch.rand(count, generator=generator) < 0.5
    v = torch.where(same, drawn.views, other).numpy()
    embedding = torch.from_numpy(data.image[o, v]).float()
    labels, adjective = data.split.labels[o], data.split.adjective[o]
    kind = torch.rand(count, generator=generator)
    pick = torch.rand(count, 2, generator=generator).tolist()
    for i in range(count):
        category, colour = (int(x) for x in labels[i])
        if kind[i] < 0.42:
            said = "full" if pick[i][0] < 0.8 else ("colour" if pick[i][0] < 0.9 else "category")
            rows = bank.rows[said, category, colour, int(adjective[i])]
            embedding[i] = data.text[rows[int(pick[i][1] * len(rows))]]
        elif kind[i] > 0.85:
            sounds = data.audio[category]
            embedding[i] = sounds[int(pick[i][1] * len(sounds))]
    return nn.functional.normalize(embedding, dim=-1)


def embedding_statistics(data: Latents, bank: Bank) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per element of the scaled embeddings: unCLIP's normaliser."""
    generator = torch.Generator().manual_seed(17)
    drawn = draw_targets(data, 4096, generator, normal_share=0.0)
    e = EMBEDDING_NORM * draw_conditions(data, bank, drawn, generator)
    return e.mean(0), e.std(0).clamp_min(0.05)


def train_unclip(world: World, work: Path, config: LoopConfig) -> None:
    """The 2D prior, to `work/unclip.pt`."""
    data, bank = load_latents(world, work), build_bank()
    mean, std = embedding_statistics(data, bank)
    torch.save({"ema": {"mean": mean, "std": std}}, work / "normalizer.pt")
    torch.manual_seed(config.seed)  # initial weights
    unet = build_unet(4, 2 * EMBED_DIM)
    unet.set_attn_processor(AttnProcessor())  # a third faster to train than the fused one, here
    alpha_bar = alphas_cumprod(scaled_linear_betas())
    noising = alphas_cumprod(squared_cosine_betas())

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw_targets(data, config.batch, generator, normal_share=NORMAL_SHARE)
        t = draw_timesteps(drawn, data.split.pose, generator)
        noise = torch.randn(drawn.z.shape, generator=generator)
        z_t, v = _velocity(drawn.z, t, noise, alpha_bar)
        embedding = EMBEDDING_NORM * draw_conditions(data, bank, drawn, generator)
        u = torch.rand(3, config.batch, generator=generator)
        level = torch.where(u[0] < 0.4, 0, (u[1] * NOISE_LEVEL).long())
        labels = unclip_condition(
            embedding, level, torch.randn(embedding.shape, generator=generator),
            mean=mean, std=std, alphas_cumprod=noising,
        ) * (u[2] > DROP)[:, None]  # fmt: skip
        context = torch.zeros(config.batch, 1, EMBED_DIM)
        with config.autocast():
            out = unet(z_t, t, context, class_labels=labels).sample
        return _named((out - v).square().mean((1, 2, 3)), drawn)

    train("unclip", unet, losses, config, work)


def _named(error: Tensor, drawn: TargetDraw) -> Mapping[str, Tensor]:
    """The loss, and its two parts apart."""
    normal = drawn.is_normal.float()
    return {
        "loss": error.mean(),
        "colour": (error * (1 - normal)).sum() / (1 - normal).sum().clamp_min(1),
        "normal": (error * normal).sum() / normal.sum().clamp_min(1),
    }


def _cameras(pose: np.ndarray) -> Cameras:
    return Cameras(*torch.from_numpy(np.ascontiguousarray(pose.T)))


def train_zero123(world: World, work: Path, config: LoopConfig) -> None:
    """The 3D prior, to `work/zero123.pt`; a new one starts from the 2D prior's weights.

    Zero-1-to-3 was itself tuned from a 2D prior. The reference is always a far colour view.
    """
    data = load_latents(world, work)
    clip = np.load(work / "clip_embeddings.npy", allow_pickle=False)
    seen = load_seen_poses(work)
    torch.manual_seed(config.seed)  # initial weights
    net = Zero123Net()
    net.unet.set_attn_processor(AttnProcessor())
    start_from_unclip(net, averaged(work / "unclip.pt"))
    alpha_bar = alphas_cumprod(scaled_linear_betas())
    pose = data.split.pose[:, : data.colour.shape[1]]
    far = [np.flatnonzero(p[:, 2] >= min(FAR, p[:, 2].max())) for p in pose]

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw_targets(data, config.batch, generator, normal_share=NORMAL_SHARE)
        t = draw_timesteps(drawn, data.split.pose, generator)
        noise = torch.randn(drawn.z.shape, generator=generator)
        z_t, v = _velocity(drawn.z, t, noise, alpha_bar)
        o, u = drawn.objects.numpy(), torch.rand(4, config.batch, generator=generator)
        r = np.array([far[i][int(x * len(far[i]))] for i, x in zip(o, u[0].tolist(), strict=True)])
        relative = relative_pose(_cameras(pose[o, drawn.views.numpy()]), _cameras(pose[o, r]))
        embedding = EMBEDDING_NORM * torch.from_numpy(clip[o, r]).float()
        keep = (u[1] > DROP).float()
        own = turned_pose(blurred_pose(seen[o, r], generator), relative)
        told = torch.cat([embedding, relative, OWN_POSE_SCALE * own], 1)
        reference = torch.from_numpy(data.colour[o, r]).float()
        blur = 0.15 * u[2].view(-1, 1, 1, 1) * torch.randn(reference.shape, generator=generator)
        reference = (reference + blur) * keep.view(-1, 1, 1, 1)
        with config.autocast():
            token = net.projection(told) * keep[:, None]
            both = torch.cat([z_t, reference], 1)
            out = net.unet(both, t, token[:, None], class_labels=token).sample
        return _named((out - v).square().mean((1, 2, 3)), drawn)

    train("zero123", net, losses, config, work)


def blurred_pose(seen: np.ndarray, generator: torch.Generator) -> Float[Tensor, "b 3"]:
    """The reference's estimated pose, turned by a few degrees, and now and then not known at all.

    Samples of the 2D prior are harder to read than the pictures that the estimator knows.
    """
    lift, turn = POSE_ERROR * torch.randn(2, len(seen), generator=generator)
    known = (torch.rand(len(seen), generator=generator) > UNKNOWN_POSE).float()
    error = torch.stack([-lift, turn.sin(), turn.cos(), torch.zeros_like(turn)], -1)
    turned = turned_pose(torch.from_numpy(seen).float(), error)
    return known[:, None] * turned


def start_from_unclip(net: Zero123Net, unclip: Mapping[str, Tensor]) -> None:
    """Copy the 2D prior's weights; the four new input channels start at zero."""
    own = net.unet.state_dict()
    for name, value in unclip.items():
        if own[name].shape == value.shape:
            own[name] = value
        elif name == "conv_in.weight":
            own[name] = torch.cat([value, torch.zeros_like(value)], 1)
    net.unet.load_state_dict(own)
