"""A bundle of the public networks' shapes with random weights: to try a machine, never a result."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from xbind.diffusion.view_words import VIEW_WORDS
from xbind.files import disk_errors
from xbind.importing.architectures import Architecture
from xbind.importing.bundle import SD_BASE, finish, record_files, write_manifest
from xbind.importing.convert import to_half
from xbind.models.bind import BindModel
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.networks.load import DIFFUSERS_WEIGHTS
from xbind.networks.manifest import BundleError, BundleManifest


def make_random_bundle(
    out: Path, architecture: Architecture, seed: int, report: Callable[[str], None]
) -> BundleManifest:
    """Write a bundle whose `bundle.json` says that its weights are random.

    Every network is initialised as its library does it, in float16 on disk but for the VAEs.

    Raises:
        BundleError: `out` holds a bundle already.
    """
    if (out / "bundle.json").exists():
        raise BundleError(f"{out} holds a bundle already.\nChoose another folder with --out.")
    torch.manual_seed(seed)  # the libraries' initialisers take no generator
    with disk_errors(out):
        for name, (build, config) in networks(architecture).items():
            report(name)
            _write(out / name, build(), config)
        _write_rest(out, architecture)
    names = sorted({p.parent.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()})
    done = {name: {"files": record_files(out, out / name)} for name in names}
    return finish(out, architecture, done, {"weights": "random", "seed": seed})


def write_shapes(out: Path, architecture: Architecture) -> BundleManifest:
    """A bundle without weights, for `xbind plan`: configurations, vocabularies and a manifest."""
    for name, (_, config) in networks(architecture).items():
        (out / name).mkdir(parents=True)
        _write_json(out / name / "config.json", config)
    _write_rest(out, architecture)
    return write_manifest(out, architecture, {}, {"weights": "none"}, norm=1.0)


Built = tuple[Callable[[], nn.Module], Mapping[str, Any]]


def networks(a: Architecture) -> dict[str, Built]:
    """Folder of a bundle → how to build the network that it holds, and its configuration."""
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    def unet(config: Mapping[str, Any]) -> Built:
        return lambda: UNet2DConditionModel.from_config(dict(config)), config

    def clip(config: Mapping[str, Any]) -> Built:
        return lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**config)), config

    vae: Built = (lambda: AutoencoderKL.from_config(dict(a.vae)), a.vae)
    shape = {
        "in_features": a.image_encoder["projection_dim"] + 4,
        "out_features": a.unet3d["cross_attention_dim"],
    }
    tiny = a.taesd
    optional: dict[str, Built] = (
        {} if tiny is None else {"taesd": (lambda: AutoencoderTiny.from_config(dict(tiny)), tiny)}
    )
    if a.sd_base is not None:
        text: Built = (lambda: CLIPTextModel(CLIPTextConfig(**a.text)), a.text)
        optional |= {
            f"{SD_BASE}/unet": unet(a.sd_base),
            f"{SD_BASE}/vae": vae,
            f"{SD_BASE}/text_encoder": text,
        }
    return optional | {
        "unclip/unet": unet(a.unet2d),
        "unclip/vae": vae,
        "zero123/unet": unet(a.unet3d),
        "zero123/vae": vae,
        "zero123/image_encoder": clip(a.image_encoder),
        "zero123/clip_camera_projection": (lambda: nn.Linear(**shape), shape),
        "clip": clip(a.clip),
        "bind": (lambda: BindModel(a.bind), dataclasses.asdict(a.bind)),
    }


def _write(folder: Path, net: nn.Module, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    of_diffusers = folder.name in ("unet", "vae", "taesd")
    name = DIFFUSERS_WEIGHTS if of_diffusers else "model.safetensors"
    save_file(to_half(net.state_dict(), keep=folder.name in ("vae", "taesd")), folder / name)
    _write_json(folder / "config.json", config)


def _write_rest(out: Path, a: Architecture) -> None:
    d, length = a.bind.embed_dim, a.text["max_position_embeddings"]
    for prior in ("unclip", *(() if a.sd_base is None else (SD_BASE,))):
        contexts = torch.randn(len(VIEW_WORDS), length, a.unet2d["cross_attention_dim"])
        save_file({"context": contexts[:1].clone()}, out / prior / "empty_prompt.safetensors")
        save_file({"contexts": contexts[1:].clone()}, out / prior / "views.safetensors")
    (out / "unclip/image_normalizer").mkdir(exist_ok=True)
    normaliser = {"mean": torch.zeros(1, d), "std": torch.ones(1, d)}
    save_file(normaliser, out / "unclip/image_normalizer" / DIFFUSERS_WEIGHTS)
    for name, config in (
        ("unclip/scheduler", a.scheduler2d),
        ("unclip/image_noising_scheduler", a.noising),
        ("zero123/scheduler", a.scheduler3d),
        *(() if a.sd_base is None else ((f"{SD_BASE}/scheduler", a.scheduler_sd_base),)),
    ):
        (out / name).mkdir(exist_ok=True)
        _write_json(out / name / "scheduler_config.json", config)
    _write_json(out / "bind/tokenizer.json", {"length": a.bind.context_length})
    _write_json(out / "bind/fbank.json", dataclasses.asdict(FbankConfig()))
    _write_json(out / "bind/depth.json", dataclasses.asdict(DepthConfig()))
    write_byte_tables(out / "bind", a.bind.vocab_size)
    if a.sd_base is not None:
        folder = out / SD_BASE / "text_encoder"
        _write_json(folder / "tokenizer.json", {"length": length, "pad": 0})
        write_byte_tables(folder, a.text["vocab_size"])


def write_byte_tables(folder: Path, vocab_size: int) -> None:
    """CLIP's byte-pair tables without a merge: every letter is a token of its own."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    vocab = {token: i for i, token in enumerate(letters + [f"{x}</w>" for x in letters])}
    vocab |= {"<|startoftext|>": vocab_size - 2, "<|endoftext|>": vocab_size - 1}
    _write_json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("#version: 0.2\n")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
