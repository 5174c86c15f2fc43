"""The two diffusion priors: unCLIP (2D) and Zero-1-to-3 (3D), both v-prediction UNets."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from xbind.diffusion.schedule import alphas_cumprod, scaled_linear_betas, squared_cosine_betas
from xbind.diffusion.unclip import unclip_condition
from xbind.diffusion.view_words import NO_WORD
from xbind.mini.train.bind import EMBED_DIM
from xbind.mini.train.captions import build_bank, caption_table
from xbind.mini.train.compiling import for_training
from xbind.mini.train.data import World
from xbind.mini.train.latents import (
    Latents,
    TargetDraw,
    draw_targets,
    load_array,
    load_latents,
    objects_of,
    only_objects,
)
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import averaged, save_atomic, train
from xbind.mini.train.resolutions import SMALL, Resolution, resolution_with
from xbind.mini.train.view_contexts import TRAINED_WORDS, contexts_of, words_of
from xbind.mini.train.weighting import prior_losses
from xbind.mini.world.categories import CATEGORIES
from xbind.scene.cameras import OWN_POSE_SCALE, Cameras, relative_pose, turned_pose

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
SAID = ("full", "colour", "category")
"""Kinds of captions that condition the 2D prior: 80, 10 and 10 % of them."""
NOISE_LEVEL = 600
"""Highest unCLIP noise level; 40 % of the conditions have level 0."""
VIEW_TOKENS = "view_tokens"
"""Name of the tokens of a 2D prior that is trained with view words from the start."""
UNCLIP_START = "unclip_start"
"""Checkpoint of a 2D prior for pictures of another size: `unpack` writes it."""
WORDLESS = 0.5
"""Share of its samples without a view word, under a token of zeros; all without a condition are."""


def build_unet(
    in_channels: int, class_inputs: int, resolution: Resolution = SMALL
) -> UNet2DConditionModel:
    """A new UNet of 4.2 M parameters on the latents of a resolution, 16×16."""
    attention = (False, True, True)
    return UNet2DConditionModel(
        sample_size=resolution.latent_size,
        in_channels=in_channels,
        out_channels=resolution.channels,
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


def build_unclip(resolution: Resolution) -> UNet2DConditionModel:
    """A new 2D prior; with view words from the start, it has their tokens as a parameter."""
    unet = build_unet(resolution.channels, 2 * EMBED_DIM, resolution)
    if resolution.view_words:
        tokens = torch.randn(len(TRAINED_WORDS), EMBED_DIM)
        unet.register_parameter(VIEW_TOKENS, nn.Parameter(tokens))
    return unet


def start_from_other_size(unet: UNet2DConditionModel, state: Mapping[str, Tensor]) -> None:
    """Copy what fits of a 2D prior for pictures of another size: all but the first and the last
    convolution, whose channels are other ones. Their latents have 16 places a side at every size,
    so a place is the same part of a picture.
    """
    own = unet.state_dict()
    unet.load_state_dict(
        own | {name: x for name, x in state.items() if name in own and own[name].shape == x.shape}
    )


class Zero123Net(nn.Module):
    """UNet and camera projection under one roof, for the optimiser and the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = build_unet(8, EMBED_DIM)
        self.projection = nn.Linear(EMBED_DIM + 4 + 3, EMBED_DIM)


def velocity(
    z: Tensor, t: Tensor, noise: Tensor, alpha_bar: Tensor
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
    """(z_t, v) of v-prediction: z_t = α z + σ ε, v = α ε − σ z."""
    a = alpha_bar[t].sqrt().view(-1, 1, 1, 1)
    s = (1 - alpha_bar[t]).sqrt().view(-1, 1, 1, 1)
    return a * z + s * noise, a * noise - s * z


def draw_timesteps(
    data: Latents, drawn: TargetDraw, generator: torch.Generator
) -> Int[Tensor, " b"]:
    """Noisier ones more often, since shape and pose are decided there: t = 1000 u^0.6.

    Normal maps and close views: the same, over the lower part of the schedule.
    """
    u = torch.rand(drawn.objects.shape, generator=generator, device=generator.device)
    t = (1000 * u**HIGH_NOISE).long().clamp_max(999)
    refined = drawn.is_normal | (data.pose[drawn.objects, drawn.views, 2] < FAR)
    return torch.where(refined, t * REFINE_T // 1000, t)


def draw_conditions(
    data: Latents, rows: Int[Tensor, "s k c a n"], drawn: TargetDraw, generator: torch.Generator
) -> Float[Tensor, "b d"]:
    """Unit embeddings of the same object: 43 % an image, 42 % a caption, 15 % a sound.

    Half of the images are another view, so that an embedding does not say which view is wanted.

    Args:
        data: what is drawn from.
        rows: the captions, as `caption_table` sorts those of the kinds `SAID`.
        drawn: the objects, and the views that are denoised.
        generator: on the device of all of these.
    """
    o, (count,), on = drawn.objects, drawn.objects.shape, generator.device
    other = torch.randint(data.colour.shape[1], (count,), generator=generator, device=on)
    same = torch.rand(count, generator=generator, device=on) < 0.5
    kind = torch.rand(count, generator=generator, device=on)
    pick, place = torch.rand(count, 2, generator=generator, device=on).double().unbind(1)
    image = data.image[o, torch.where(same, drawn.views, other)].float()
    (category, colour), adjective = data.labels[o].unbind(1), data.adjective[o]
    said = (pick >= 0.8).long() + (pick >= 0.9).long()
    row = rows[said, category, colour, adjective, (place * rows.shape[-1]).long()]
    sound = data.audio[category, (place * data.audio.shape[1]).long()]
    embedding = torch.where((kind < 0.42)[:, None], data.text[row], image)
    embedding = torch.where((kind > 0.85)[:, None], sound, embedding)
    return nn.functional.normalize(embedding, dim=-1)


def embedding_statistics(data: Latents, rows: Int[Tensor, "s k c a n"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per element of the scaled embeddings: unCLIP's normaliser."""
    generator = torch.Generator(rows.device).manual_seed(17)
    drawn = draw_targets(data, 4096, generator, normal_share=0.0)
    e = EMBEDDING_NORM * draw_conditions(data, rows, drawn, generator)
    return e.mean(0), e.std(0).clamp_min(0.05)


def load_normaliser(
    data: Latents, rows: Int[Tensor, "s k c a n"], work: Path
) -> tuple[Tensor, Tensor]:
    """(mean, std) of `work/normalizer.pt`, measured when a prior is trained from nothing.

    A prior that goes on keeps what it was trained with.
    """
    path = work / "normalizer.pt"
    if not (path.exists() and (work / "unclip.pt").exists()):
        mean, std = (x.cpu() for x in embedding_statistics(data, rows))
        save_atomic({"ema": {"mean": mean, "std": std}}, path)
    state = averaged(path)
    return state["mean"].to(rows.device), state["std"].to(rows.device)


def train_unclip(world: World, work: Path, config: LoopConfig) -> None:
    """The 2D prior, to `work/unclip.pt`.

    Where there is an `unclip_start.pt`, a new one starts from it (`start_from_other_size`).
    """
    device = config.device
    data = load_latents(world, work, device)
    rows = caption_table(build_bank(), SAID).to(device)
    mean, std = load_normaliser(data, rows, work)
    resolution = resolution_with(data.colour.shape[2])
    torch.manual_seed(config.seed)  # initial weights
    unet = build_unclip(resolution)
    if (work / f"{UNCLIP_START}.pt").exists():
        start_from_other_size(unet, averaged(work / f"{UNCLIP_START}.pt"))
    for_training(unet, config)
    alpha_bar = alphas_cumprod(scaled_linear_betas()).to(device)
    noising = alphas_cumprod(squared_cosine_betas()).to(device)
    context = torch.zeros(config.batch, 1, EMBED_DIM, device=device)

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw_targets(data, config.batch, generator, normal_share=NORMAL_SHARE)
        t = draw_timesteps(data, drawn, generator)
        noise = torch.randn(drawn.z.shape, generator=generator, device=device)
        z_t, v = velocity(drawn.z, t, noise, alpha_bar)
        embedding = EMBEDDING_NORM * draw_conditions(data, rows, drawn, generator)
        u = torch.rand(3, config.batch, generator=generator, device=device)
        level = torch.where(u[0] < 0.4, 0, (u[1] * NOISE_LEVEL).long())
        keep = u[2] > DROP
        labels = unclip_condition(
            embedding, level, torch.randn(embedding.shape, generator=generator, device=device),
            mean=mean, std=std, alphas_cumprod=noising,
        ) * keep[:, None]  # fmt: skip
        if resolution.view_words:
            named = torch.rand(config.batch, generator=generator, device=device) > WORDLESS
            words = words_of(data.pose[drawn.objects, drawn.views])
            words = torch.where(keep & named, words, NO_WORD)
            said = contexts_of(getattr(unet, VIEW_TOKENS))[words]
        else:
            said = context
        with config.autocast():
            out = unet(z_t, t, said, class_labels=labels).sample
        error = (out - v).square().mean((1, 2, 3))
        return prior_losses(error, drawn.is_normal, alpha_bar[t], config.min_snr_gamma)

    train("unclip", unet, losses, config, work)


def far_views(pose: Float[Tensor, "o v 4"]) -> tuple[Int[Tensor, "o v"], Int[Tensor, " o"]]:
    """(views, count): object o is seen whole in the first count[o] of views[o].

    Of an object without such a view it is the farthest ones.
    """
    distance = pose[..., 2]
    far = distance >= distance.amax(1, keepdim=True).clamp_max(FAR)
    return far.long().argsort(stable=True, dim=1, descending=True), far.sum(1)


def train_zero123(
    world: World,
    work: Path,
    config: LoopConfig,
    *,
    name: str = "zero123",
    categories: Sequence[str] = CATEGORIES,
) -> None:
    """A 3D prior, to `work/<name>.pt`; a new one starts from the 2D prior's weights.

    Zero-1-to-3 was itself tuned from a 2D prior. The reference is always a far colour view.

    Args:
        world: the rendered objects.
        work: folder of the encoded world and of the checkpoints.
        config: how long and how fast.
        name: names the checkpoint and the log.
        categories: of the objects that it is trained on; others are left out.

    Raises:
        XBindError: the encoded world is missing, or has no object of a category.
    """
    device = config.device
    data = load_latents(world, work, device)
    objects = objects_of(data, categories)
    data = only_objects(data, objects)
    clip = load_array(work / "clip_embeddings.npy", device)[objects]
    seen = load_array(work / "seen_poses.npy", device)[objects]
    torch.manual_seed(config.seed)  # initial weights
    net = Zero123Net()
    start_from_unclip(net, averaged(work / "unclip.pt"))
    for_training(net.unet, config)
    net.projection.to(device)
    alpha_bar = alphas_cumprod(scaled_linear_betas()).to(device)
    far, count = far_views(data.pose)

    def cameras(objects: Tensor, views: Tensor) -> Cameras:
        return Cameras(*data.pose[objects, views].unbind(1))

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw_targets(data, config.batch, generator, normal_share=NORMAL_SHARE)
        t = draw_timesteps(data, drawn, generator)
        noise = torch.randn(drawn.z.shape, generator=generator, device=device)
        z_t, v = velocity(drawn.z, t, noise, alpha_bar)
        o, u = drawn.objects, torch.rand(4, config.batch, generator=generator, device=device)
        r = far[o, (u[0].double() * count[o]).long()]
        relative = relative_pose(cameras(o, drawn.views), cameras(o, r))
        embedding = EMBEDDING_NORM * clip[o, r].float()
        keep = (u[1] > DROP).float()
        own = turned_pose(blurred_pose(seen[o, r], generator), relative)
        told = torch.cat([embedding, relative, OWN_POSE_SCALE * own], 1)
        reference = data.colour[o, r].float()
        grain = torch.randn(reference.shape, generator=generator, device=device)
        reference = reference + 0.15 * u[2].view(-1, 1, 1, 1) * grain
        reference = reference * keep.view(-1, 1, 1, 1)
        with config.autocast():
            token = net.projection(told) * keep[:, None]
            both = torch.cat([z_t, reference], 1)
            out = net.unet(both, t, token[:, None], class_labels=token).sample
        error = (out - v).square().mean((1, 2, 3))
        return prior_losses(error, drawn.is_normal, alpha_bar[t], config.min_snr_gamma)

    train(name, net, losses, config, work)


def blurred_pose(seen: Float[Tensor, "b 3"], generator: torch.Generator) -> Float[Tensor, "b 3"]:
    """The reference's estimated pose, turned by a few degrees, and now and then not known at all.

    Samples of the 2D prior are harder to read than the pictures that the estimator knows.
    """
    on = generator.device
    lift, turn = POSE_ERROR * torch.randn(2, len(seen), generator=generator, device=on)
    known = (torch.rand(len(seen), generator=generator, device=on) > UNKNOWN_POSE).float()
    error = torch.stack([-lift, turn.sin(), turn.cos(), torch.zeros_like(turn)], -1)
    return known[:, None] * turned_pose(seen.float(), error)


def start_from_unclip(net: Zero123Net, unclip: Mapping[str, Tensor]) -> None:
    """Copy the 2D prior's weights; the four new input channels start at zero."""
    own = net.unet.state_dict()
    for name, value in unclip.items():
        if own[name].shape == value.shape:
            own[name] = value
        elif name == "conv_in.weight":
            own[name] = torch.cat([value, torch.zeros_like(value)], 1)
    net.unet.load_state_dict(own)
