"""The parts of the bundle by name: what `python -m xbind.mini.train` can do."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from xbind.errors import XBindError
from xbind.mini.train import audio, bind, clip, convnet, latents, priors, vae, view_words
from xbind.mini.train.assemble import assemble, assemble_only, unpack
from xbind.mini.train.captions import build_bank
from xbind.mini.train.data import load_near_misses, load_world
from xbind.mini.train.judges import JudgeName, train_judge
from xbind.mini.train.lengths import CPU, LENGTHS, LoopConfig
from xbind.mini.train.resolutions import SMALL, resolution_of
from xbind.mini.world.categories import SEEN
from xbind.mini.world.dataset import HELD_OUT_SEED, SplitConfig, write_split
from xbind.networks.manifest import SHIPPED


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """Options of one call; None is the component's default."""

    work: Path
    """Folder of data and checkpoints."""
    samples: int | None = None
    """Training samples in all, over all sessions; of `world` and `near_misses`: objects."""
    batch: int | None = None
    """Samples per step."""
    decay: float | None = None
    """Last part of the run in which the learning rate falls."""
    learning_rate: float | None = None
    """Peak learning rate for steps of the component's default batch."""
    min_snr_gamma: float | None = None
    """γ of the priors' loss weights; None: equal weights."""
    compile: bool | None = None
    """True if the network is compiled; by default on a GPU only."""
    cuda_graph: bool | None = None
    """True if steps are recorded as a CUDA graph; by default on a GPU."""
    save_every: float | None = None
    """Seconds between two checkpoints."""
    export: Path | None = None
    """Folder for averaged weights in half precision."""
    minutes: float = math.inf
    """Length of this session at most."""
    device: torch.device = CPU
    """Device for training and inference."""
    workers: int = 1
    """Processes that render."""
    views: int = SplitConfig().views
    """Rendered views of each object."""
    size: int = SplitConfig().size
    """Side of the rendered views, in pixels."""
    detail: int = SplitConfig().detail
    """Level of detail of the world's objects."""
    bundle: Path = SHIPPED / "mini"
    """Bundle that is assembled or unpacked."""
    only: str | None = None
    """The component that is assembled alone, into a bundle that is there."""

    def config(self, name: str) -> LoopConfig:
        """The training of the part `name`, as asked for."""
        default = LENGTHS[name]
        on_gpu = self.device.type == "cuda" and name in COMPILED
        return dataclasses.replace(
            default,
            samples=self.samples or default.samples,
            batch=self.batch or default.batch,
            decay_fraction=self.decay or default.decay_fraction,
            learning_rate=self.learning_rate or default.learning_rate,
            min_snr_gamma=self.min_snr_gamma or default.min_snr_gamma,
            compile=on_gpu if self.compile is None else self.compile,
            cuda_graph=on_gpu if self.cuda_graph is None else self.cuda_graph,
            save_every_s=self.save_every or default.save_every_s,
            export=self.export,
            minutes=self.minutes,
            device=self.device,
        )


Part = Callable[[Session], None]

OBJECTS, HELD_OUT_OBJECTS = 4080, 340
"""Rendered objects for training and for validation, ten views each."""
NEAR_MISSES, HELD_OUT_NEAR_MISSES = 3060, 340
"""Likewise, of objects that are wrong."""


def _world(given: Session) -> None:
    if given.views < latents.COLOUR_VIEWS:
        raise XBindError(
            f"The priors are trained on {latents.COLOUR_VIEWS} views of each object; --views is "
            f"{given.views}.\nGive at least {latents.COLOUR_VIEWS}."
        )
    resolution_of(given.size)
    config = SplitConfig(views=given.views, size=given.size, detail=given.detail)
    held_out = dataclasses.replace(config, seed=HELD_OUT_SEED)
    write_split(given.work / "held_out", HELD_OUT_OBJECTS, held_out, workers=given.workers)
    count = given.samples or OBJECTS
    write_split(given.work / "train", count, config, workers=given.workers)


def _near_misses(given: Session) -> None:
    for name, count, seed in (
        ("held_out_near_misses", HELD_OUT_NEAR_MISSES, HELD_OUT_SEED),
        ("near_misses", given.samples or NEAR_MISSES, 0),
    ):
        config = SplitConfig(seed=seed, near_misses=True)
        write_split(given.work / name, count, config, workers=given.workers)


def _vae(given: Session) -> None:
    world = load_world(given.work, any_size=True)
    vae.train_vae(world, given.work, given.config("vae"))
    vae.fold_normalisation(world, given.work)


def _decoder(given: Session) -> None:
    world = load_world(given.work, any_size=True)
    vae.train_decoder(world, given.work, given.config("vae_decoder"))


def _bind(given: Session) -> None:
    bind.train_bind(load_world(given.work), build_bank(), given.work, given.config("bind"))


def _encode(given: Session) -> None:
    work, device, world = given.work, given.device, load_world(given.work, any_size=True)
    latents.encode_latents(world, work, device)
    latents.encode_embeddings(world, work, device)
    if not (work / "sounds.npy").exists():
        audio.render_sounds(work, audio.FBANK)
    if (work / "clip.pt").exists():  # after `unpack`: the audio tower and this one are trained
        audio.encode_sounds(work, device)
        if world.train.size == SMALL.image_size:  # the 3D priors need these
            clip.encode_clip(world, work, device)
            convnet.encode_poses(world, work, device)


def _sounds(given: Session) -> None:
    audio.render_sounds(given.work, audio.FBANK)


def _audio(given: Session) -> None:
    audio.train_audio(load_world(given.work), given.work, given.config("bind_audio"))
    audio.encode_sounds(given.work)


def _depth(given: Session) -> None:
    audio.train_depth(load_world(given.work), given.work, given.config("bind_depth"))


def _clip(given: Session) -> None:
    world = load_world(given.work)
    clip.train_clip(world, build_bank(), given.work, given.config("clip"))
    clip.encode_clip(world, given.work)


def _unclip(given: Session) -> None:
    priors.train_unclip(load_world(given.work, any_size=True), given.work, given.config("unclip"))


def _view_words(given: Session) -> None:
    config = given.config("view_words")
    view_words.train_view_words(load_world(given.work), given.work, config)


def _zero123(given: Session) -> None:
    priors.train_zero123(load_world(given.work), given.work, given.config("zero123"))


def _zero123_narrow(given: Session) -> None:
    config, name = given.config("zero123_narrow"), "zero123_narrow"
    priors.train_zero123(load_world(given.work), given.work, config, name=name, categories=SEEN)


def _judge(given: Session, name: JudgeName) -> None:
    world, wrong = load_world(given.work), load_near_misses(given.work)
    train_judge(world, wrong, given.work, given.config(name), name)


def _view(given: Session) -> None:
    world = load_world(given.work)
    convnet.train_view(world, given.work, given.config("view"))
    convnet.encode_poses(world, given.work)


def _assemble(given: Session) -> None:
    if given.only is None:
        assemble(given.work, given.bundle)
    else:
        assemble_only(given.work, given.bundle, given.only)


PARTS: dict[str, Part] = {
    "world": _world,
    "vae": _vae,
    "bind": _bind,
    "sounds": _sounds,
    "encode": _encode,
    "audio": _audio,
    "depth": _depth,
    "clip": _clip,
    "unclip": _unclip,
    "view_words": _view_words,
    "view": _view,
    "zero123": _zero123,
    "zero123_narrow": _zero123_narrow,
    "near_misses": _near_misses,
    "judge": lambda given: _judge(given, "judge"),
    "judge_2": lambda given: _judge(given, "judge_2"),
    "decoder": _decoder,
    "assemble": _assemble,
    "unpack": lambda given: unpack(given.work, given.bundle),
}
"""Name → what it does; the order is that of their needs."""

TRAINED = frozenset(
    (
        "vae", "bind", "audio", "depth", "clip", "unclip", "view_words", "view", "zero123",
        "zero123_narrow", "judge", "judge_2", "decoder",
    )
)  # fmt: skip
COMPILED = frozenset(("unclip", "zero123", "zero123_narrow"))
"""Parts whose steps can be compiled and recorded, and have noise levels: the priors."""
ON_GPU = COMPILED | {"encode", "view_words"}
TAKEN = {
    "samples": TRAINED | {"world", "near_misses"},
    "batch": TRAINED,
    "decay": TRAINED,
    "learning_rate": TRAINED,
    "min_snr_gamma": COMPILED,
    "compile": COMPILED,
    "cuda_graph": COMPILED,
    "save_every": TRAINED,
    "export": TRAINED,
    "minutes": TRAINED,
    "device": ON_GPU,
    "workers": frozenset(("world", "near_misses")),
    "views": frozenset(("world",)),
    "size": frozenset(("world",)),
    "detail": frozenset(("world",)),
    "bundle": frozenset(("assemble", "unpack")),
    "only": frozenset(("assemble",)),
}
"""Option → the parts that take it."""
