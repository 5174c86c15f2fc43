"""The aligned encoder: vision and text together, then audio and depth towards the frozen vision.

That order is ImageBind's: every further modality only ever meets images.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xbind.mini.train.augment import augment
from xbind.mini.train.captions import CONTEXT_LENGTH, Bank, build_tokenizer, draw_captions, matches
from xbind.mini.train.data import Draw, Split, World, draw, images
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.mini.world.captions import prompts
from xbind.models.bind import BindModel
from xbind.models.bind_config import BindConfig, StemLayer, TrunkConfig
from xbind.models.preprocess import normalise_image

EMBED_DIM = 128
"""d of the mini bundle."""
NORMAL_SHARE = 0.25
"""Share of normal maps among the images."""


def _stem(*channels: int) -> tuple[StemLayer, ...]:
    return tuple(StemLayer(channels=c, kernel=4, stride=2) for c in channels)


def bind_config() -> BindConfig:
    """The mini encoder: 2.1 M parameters, a convolutional stem for images and depth."""
    return BindConfig(
        embed_dim=EMBED_DIM,
        vocab_size=build_tokenizer().vocab_size,
        context_length=CONTEXT_LENGTH,
        trunks={
            "vision": TrunkConfig(
                width=128, depth=4, heads=4, input_size=(64, 64), channels=3, pre_norm=True,
                stem=_stem(32, 64, 128),
            ),
            "text": TrunkConfig(width=96, depth=2, heads=4, logit_scale=14.0, learnt_scale=True),
            "audio": TrunkConfig(
                width=96, depth=3, heads=4, input_size=(64, 192), stem_norm=True, bias_kv=True,
                stem=(StemLayer(channels=96, kernel=16, stride=16),), logit_scale=20.0,
            ),
            "depth": TrunkConfig(
                width=96, depth=2, heads=4, input_size=(64, 64), stem_norm=True, bias_kv=True,
                stem=_stem(32, 64, 96), logit_scale=5.0,
            ),
        },
    )  # fmt: skip


def contrastive_loss(
    logits: Float[Tensor, "b n"], true: Tensor, undecided: Tensor
) -> Float[Tensor, ""]:
    """InfoNCE (Eq. 1) with several positives per row and column; undecided pairs left out.

    The mean over a row's positives of −log softmax, averaged over rows, then over both directions.
    """
    logits = logits.masked_fill(undecided, -1e4)

    def one_way(x: Tensor, positive: Tensor) -> Tensor:
        log_p = x.log_softmax(1)
        count = positive.sum(1)
        return (-(log_p * positive).sum(1) / count.clamp_min(1))[count > 0].mean()

    return 0.5 * (one_way(logits, true) + one_way(logits.T, true.T))


def attributes(split: Split, drawn: Draw) -> tuple[Tensor, Tensor]:
    """Labels [b,2] and adjectives [b] of the drawn objects."""
    o = drawn.objects.numpy()
    return torch.from_numpy(split.labels[o]), torch.from_numpy(split.adjective[o]).long()


def prompt_embeddings(bind: BindModel) -> Float[Tensor, "p d"]:
    """Embeddings of the prompt pool, category major."""
    tokenizer = build_tokenizer()
    ids = torch.tensor([tokenizer.encode(p).ids for p in prompts()])
    return bind.embed("text", ids)


def retrieval(
    embed_image: Callable[[Tensor], Tensor] | None,
    bind: BindModel,
    split: Split,
    *,
    count: int = 340,
) -> Mapping[str, float]:
    """Image → text R@1 among all prompts on held-out objects, plain and augmented."""
    drawn = draw(split, count, torch.Generator().manual_seed(3), normal_share=0.0)
    labels, _ = attributes(split, drawn)
    pool = prompt_embeddings(bind)
    colours = len(pool) // (int(split.labels[:, 0].max()) + 1)

    def embed(x: Tensor) -> Tensor:
        x = normalise_image(x)
        return bind.embed("vision", x) if embed_image is None else embed_image(x)

    figures = {}
    x = images(split, drawn)
    for name, shown in (("", x), ("_augmented", augment(x, torch.Generator().manual_seed(4)))):
        best = (embed(shown) @ pool.T).argmax(1)
        category, colour = best // colours == labels[:, 0], best % colours == labels[:, 1]
        figures[f"r1{name}"] = (category & colour).float().mean().item()
        figures[f"category{name}"] = category.float().mean().item()
    maps = Draw(drawn.objects, drawn.views, torch.ones(count, dtype=torch.bool))
    best = (embed(images(split, maps)) @ pool.T).argmax(1)
    figures["category_normal"] = (best // colours == labels[:, 0]).float().mean().item()
    return figures


def train_bind(world: World, bank: Bank, work: Path, config: LoopConfig) -> None:
    """Vision and text towers, to `work/bind.pt`."""
    torch.manual_seed(config.seed)  # initial weights
    bind = BindModel(bind_config())
    log_scale = nn.Parameter(torch.tensor(2.66))
    bind.log_scale = log_scale  # optimised with the towers

    split = world.train

    def losses(_step: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = draw(split, config.batch, generator, normal_share=NORMAL_SHARE)
        labels, adjective = attributes(split, drawn)
        rows = draw_captions(bank, labels, adjective, drawn.is_normal, generator)
        x = augment(images(split, drawn), generator)
        image = bind.embed("vision", normalise_image(x))
        text = bind.embed("text", bank.ids[rows])
        true, undecided = matches(bank, rows, labels, adjective, drawn.is_normal)
        logits = log_scale.exp().clamp(max=60) * image @ text.T
        return {"loss": contrastive_loss(logits, true, undecided)}

    train(
        "bind", bind, losses, config, work, validate=lambda _: retrieval(None, bind, world.held_out)
    )


def load_bind(work: Path) -> BindModel:
    """Vision and text as trained, audio and depth when they have been."""
    bind = BindModel(bind_config())
    state = averaged(work / "bind.pt")
    state.pop("log_scale", None)
    for tower in ("bind_audio", "bind_depth"):
        if (work / f"{tower}.pt").exists():
            state |= averaged(work / f"{tower}.pt")
    bind.load_state_dict(state)
    return bind.eval().requires_grad_(False)
