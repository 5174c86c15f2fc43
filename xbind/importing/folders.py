"""Writers of the folders of an imported bundle: read, rename, verify, convert."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from xbind.diffusion.view_words import VIEW_WORDS
from xbind.importing import convert
from xbind.importing.architectures import Architecture, Config, taesd
from xbind.importing.checkpoint import CheckpointError, State, read_checkpoint
from xbind.importing.sources import SD_BASE_ID, TAESD_ID
from xbind.models.bind import BindModel
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.models.text_encoder import TextEncoder
from xbind.models.tokenizer import BpeTokenizer
from xbind.networks.load import DIFFUSERS_WEIGHTS
from xbind.system.untrusted import is_file, is_folder, read_json_object, reason

WEIGHTS = (
    DIFFUSERS_WEIGHTS, "model.safetensors", "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors", "diffusion_pytorch_model.bin", "pytorch_model.bin",
)  # fmt: skip
"""Names of weights in a folder of diffusers or transformers, the best first."""
CAMERA_FOLDERS = ("clip_camera_projection", "cc_projection")
"""Names of the 3D prior's camera projection in its ports to diffusers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Sources of a bundle: each a file, or a folder of diffusers or transformers."""

    unclip: Path
    zero123: Path
    imagebind: Path
    clip: Path
    """Image encoder of the MS loss; of a folder with `image_encoder/`, such as unCLIP's, that."""
    tokenizer: Path
    """Folder with CLIP's `vocab.json` and `merges.txt`."""
    taesd: Path | None = None
    """AutoencoderTiny of both priors' latents; None for a bundle without it."""
    sd_base: Path | None = None
    """Stable Diffusion 2.1-base; None for a bundle without it."""


Part = tuple[str, Path, Callable[[Path], str | None]]
"""Name of a folder, its source, and what writes it and may return a remark for `bundle.json`."""
EMA, RAW = "moving averages of the weights (EMA)", "weights as trained: the file has no EMA"
"""Remarks: what of a checkpoint in one file was taken."""


def parts_of(sources: Sources, a: Architecture) -> list[Part]:
    """Every folder of the bundle, in the order of writing."""
    s, tiny = sources, sources.taesd
    optional: list[Part] = (
        [] if tiny is None else [("taesd", tiny, lambda f: _write_taesd(f, tiny, a.vae))]
    )
    return [
        *optional,
        *_parts_of_sd_base(s, a),
        ("bind", s.imagebind, lambda f: _write_bind(f, s.imagebind, s.tokenizer, a)),
        ("unclip/unet", s.unclip, lambda f: _write_unet(f, s.unclip, a.unet2d)),
        ("unclip/vae", s.unclip, lambda f: _write_vae(f, s.unclip, a.vae)),
        ("unclip/image_normalizer", s.unclip, lambda f: _write_normaliser(f, s.unclip, a)),
        ("unclip/scheduler", s.unclip, lambda f: _write_schedule(f, s.unclip, a.scheduler2d)),
        (
            "unclip/image_noising_scheduler",
            s.unclip,
            lambda f: _write_schedule(f, s.unclip, a.noising),
        ),
        ("unclip", s.unclip, lambda f: _write_texts(f, s.unclip, s.tokenizer, a.text)),
        ("zero123/unet", s.zero123, lambda f: _write_unet(f, s.zero123, a.unet3d)),
        ("zero123/vae", s.zero123, lambda f: _write_vae(f, s.zero123, a.vae)),
        ("zero123/scheduler", s.zero123, lambda f: _write_schedule(f, s.zero123, a.scheduler3d)),
        (
            "zero123/image_encoder",
            s.zero123,
            lambda f: _write_clip(f, s.zero123, a.image_encoder, convert.LDM_ZERO123_CLIP),
        ),
        ("zero123/clip_camera_projection", s.zero123, lambda f: _write_camera(f, s.zero123, a)),
        ("clip", s.clip, lambda f: _write_clip(f, s.clip, a.clip, convert.LDM_UNCLIP_CLIP)),
    ]


def _parts_of_sd_base(s: Sources, a: Architecture) -> list[Part]:
    """The folders of the 2D prior that reads text alone, if it is given."""
    source, unet = s.sd_base, a.sd_base
    if source is None:
        return []
    assert unet is not None, "import_bundle adds its shape"
    return [
        ("sd_base/unet", source, lambda f: _write_sd_base(f, source, unet)),
        ("sd_base/vae", source, lambda f: _write_vae(f, source, a.vae)),
        ("sd_base/scheduler", source, lambda f: _write_schedule(f, source, a.scheduler_sd_base)),
        (
            "sd_base/text_encoder",
            source,
            lambda f: _write_text_encoder(f, source, s.tokenizer, a.text),
        ),
        ("sd_base", source, lambda f: _write_texts(f, source, s.tokenizer, a.text)),
    ]


def _write_sd_base(folder: Path, source: Path, config: Config) -> str | None:
    """The UNet of a 2D prior that reads the prompt's text."""
    if is_folder(source):
        _check_sd_base(source / "unet", _read_config(source / "unet"), config)
    return _write_unet(folder, source, config)


def _check_sd_base(folder: Path, found: Config, wanted: Config) -> None:
    """Refuse another network of the same family, which a folder's own configuration tells.

    Raises:
        CheckpointError: names what differs.
    """
    for name in (*wanted, "class_embed_type"):
        if name in found and found[name] != wanted.get(name):
            raise CheckpointError(
                f"{folder} is of another network: its {name} is {found[name]!r}, wanted "
                f"{wanted.get(name)!r}.\nGet Stable Diffusion 2.1-base, such as {SD_BASE_ID}."
            )


def _write_unet(folder: Path, source: Path, config: Config) -> str | None:
    from diffusers import UNet2DConditionModel

    taken = None
    if is_folder(source):
        config, state = _read_config(source / "unet"), _read_weights(source / "unet")
    else:
        unet, is_average = convert.sampled_unet(read_checkpoint(source))
        state, taken = convert.unet_from_ldm(unet, config), EMA if is_average else RAW
    _store(folder, lambda: UNet2DConditionModel.from_config(dict(config)), state, config)
    return taken


def _write_vae(folder: Path, source: Path, config: Config) -> None:
    from diffusers import AutoencoderKL

    if is_folder(source):
        config, state = _read_config(source / "vae"), _read_weights(source / "vae")
    else:
        state = convert.vae_from_ldm(read_checkpoint(source), config)
    state = convert.attention_names(state)
    # activations of these autoencoders leave half's range: their weights are kept whole as well
    _store(folder, lambda: AutoencoderKL.from_config(dict(config)), state, config, keep=True)


def _write_taesd(folder: Path, source: Path, vae: Config) -> None:
    from diffusers import AutoencoderTiny

    config, state = (
        (_read_config(source), _read_weights(source))
        if is_folder(source)
        else (taesd(), read_checkpoint(source))
    )
    with torch.device("meta"):  # its own configuration may ask for any amount of memory
        net = AutoencoderTiny.from_config(dict(config))
    found = (net.config.latent_channels, len(net.config.decoder_block_out_channels))
    wanted = (vae["latent_channels"], len(vae["block_out_channels"]))
    if found != wanted:
        raise CheckpointError(
            f"{source} decodes latents of {found[0]} channels to {1 << (found[1] - 1)} times their "
            f"side; those of the priors have {wanted[0]} and want {1 << (wanted[1] - 1)} times.\n"
            f"Get the one for Stable Diffusion 1 and 2, {TAESD_ID}."
        )
    own = {k: net.config[k] for k in taesd()}
    _store(folder, lambda: AutoencoderTiny.from_config(dict(own)), state, own, keep=True)


def _write_normaliser(folder: Path, source: Path, a: Architecture) -> None:
    d = a.bind.embed_dim
    if is_folder(source):
        state = convert.normaliser(_read_weights(source / "image_normalizer"))
    else:
        # not in a checkpoint of one file: there the prior was trained on embeddings as they are
        state = {"mean": torch.zeros(1, d), "std": torch.ones(1, d)}
    _check(folder, {"mean": (1, d), "std": (1, d)}, state)
    save_file(convert.to_half(state, keep=True), folder / DIFFUSERS_WEIGHTS)


def _write_schedule(folder: Path, source: Path, config: Config) -> None:
    name = "scheduler_config.json"
    if is_folder(source):
        found = _read_config(source / folder.name, name)
        wanted = {k: found.get(k, v) for k, v in config.items()}
        if wanted["beta_schedule"] != config["beta_schedule"]:
            raise CheckpointError(
                f"{source / folder.name} has the schedule {wanted['beta_schedule']!r}; wanted "
                f"{config['beta_schedule']!r}.\nGet the checkpoint that `xbind bundle import "
                f"--help` names."
            )
        config = wanted
    _write_json(folder / name, config)


def _write_texts(folder: Path, source: Path, tables: Path, config: Config) -> None:
    """The texts that the 2D prior is given are encoded once; the encoder is not needed again.

    The empty prompt, and `side view` and so on for each view word. The class vector of C_m says
    what is seen, so the texts do not.

    Args:
        folder: of the bundle.
        source: the 2D prior's checkpoint, which holds the text encoder.
        tables: folder of CLIP's byte-pair tables.
        config: shape of the text encoder of a checkpoint in one file.
    """
    from transformers import CLIPTextModel

    shape, state, pad = _read_text_tower(source, config)
    _check(folder / "empty_prompt", _shapes(lambda: CLIPTextModel(shape)), state)
    encoder = CLIPTextModel(shape).eval()
    encoder.load_state_dict({k: state[k].float() for k in state})
    length = shape.max_position_embeddings
    tokenizer = BpeTokenizer(tables / "vocab.json", tables / "merges.txt", length)
    texts = ["", *(f"{word} view" for word in VIEW_WORDS[1:])]
    contexts = TextEncoder(encoder, tokenizer, pad).encode(texts)
    save_file({"context": contexts[:1].clone()}, folder / "empty_prompt.safetensors")
    save_file({"contexts": contexts[1:].clone()}, folder / "views.safetensors")


def _write_text_encoder(folder: Path, source: Path, tables: Path, config: Config) -> None:
    """The text encoder of a 2D prior that reads the prompt's text, with its tokenizer."""
    from transformers import CLIPTextModel

    shape, state, pad = _read_text_tower(source, config)
    own = {name: getattr(shape, name) for name in config}
    others = ("bos_token_id", "eos_token_id", "projection_dim")  # of what it pools, which none uses
    wanted = {name: value for name, value in config.items() if name not in others}
    _check_sd_base(source / "text_encoder", own, wanted)
    _store(folder, lambda: CLIPTextModel(shape), state, own, "model.safetensors")
    _copy_tables(tables, folder)
    _write_json(folder / "tokenizer.json", {"length": shape.max_position_embeddings, "pad": pad})


def _read_text_tower(source: Path, config: Config) -> tuple[Any, State, int]:
    """The CLIPTextConfig, weights and padding of a checkpoint's text encoder."""
    from transformers import CLIPTextConfig, CLIPTextModel

    pad = 0
    if is_folder(source):
        config = _read_config(source / "text_encoder")
        state = _read_weights(source / "text_encoder")
        pad = _pad_token(source / "tokenizer")
    else:
        text = convert.under(read_checkpoint(source), convert.LDM_TEXT)
        state = convert.text_from_open_clip(text, config["num_hidden_layers"])
    shape = CLIPTextConfig(**_own(config))
    return shape, _tower(lambda: CLIPTextModel(shape), state, "text_model"), pad


def _pad_token(folder: Path) -> int:
    from transformers import CLIPTokenizer

    pad: int = CLIPTokenizer.from_pretrained(folder, local_files_only=True).pad_token_id
    return pad


def _write_clip(folder: Path, source: Path, config: Config, prefix: str) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    if is_folder(source):
        source = source / "image_encoder" if is_folder(source / "image_encoder") else source
        config, state = _read_config(source), _read_weights(source)
        config = {"projection_dim": config.get("projection_dim", 512)} | config.get(
            "vision_config", config
        )
    else:
        found = read_checkpoint(source)
        inside = (p for p in (prefix, "visual.") if any(k.startswith(p) for k in found))
        start = next(inside, None)
        state = (
            found if start is None else convert.vision_from_open_clip(convert.under(found, start))
        )
    shape = CLIPVisionConfig(**_own(config))
    state = _tower(lambda: CLIPVisionModelWithProjection(shape), state, "vision_model")
    names = (
        "hidden_act", "hidden_size", "image_size", "intermediate_size", "layer_norm_eps",
        "num_attention_heads", "num_hidden_layers", "patch_size", "projection_dim",
    )  # fmt: skip
    config = {n: getattr(shape, n) for n in names}
    _store(folder, lambda: CLIPVisionModelWithProjection(shape), state, config, "model.safetensors")


def _write_camera(folder: Path, source: Path, a: Architecture) -> None:
    d, width = a.image_encoder["projection_dim"], a.unet3d["cross_attention_dim"]
    if is_folder(source):
        named = [source / name for name in CAMERA_FOLDERS if is_folder(source / name)]
        if not named:
            raise CheckpointError(
                f"{source} has no camera projection: wanted a folder {' or '.join(CAMERA_FOLDERS)}."
                f"\nGet Zero-1-to-3 in diffusers' layout, or its single file."
            )
        state = convert.only_linear(_read_weights(named[0]))
    else:
        found = convert.under(read_checkpoint(source), convert.LDM_PROJECTION)
        state = convert.only_linear(found)
    shape = {"in_features": d + 4, "out_features": width}
    _store(folder, lambda: nn.Linear(**shape), state, shape, "model.safetensors", keep=True)


def _write_bind(folder: Path, source: Path, tokenizer: Path, a: Architecture) -> None:
    config = dataclasses.asdict(a.bind)
    _store(folder, lambda: BindModel(a.bind), read_checkpoint(source), config, "model.safetensors")
    _copy_tables(tokenizer, folder)
    _write_json(folder / "tokenizer.json", {"length": a.bind.context_length})
    _write_json(folder / "fbank.json", dataclasses.asdict(FbankConfig()))
    _write_json(folder / "depth.json", dataclasses.asdict(DepthConfig()))


def _copy_tables(tables: Path, folder: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(tables / name, folder / name)


def _store(
    folder: Path,
    build: Callable[[], nn.Module],
    state: State,
    config: Mapping[str, Any],
    name: str = DIFFUSERS_WEIGHTS,
    *,
    keep: bool = False,
) -> None:
    """Check a part's tensors against the network that will read them, and write both files."""
    wanted = _shapes(build)
    _check(folder, wanted, state)
    half = convert.to_half({k: state[k] for k in wanted}, keep=keep)
    _write_json(folder / "config.json", config)
    save_file(half, folder / name)


def _shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {k: tuple(v.shape) for k, v in build().state_dict().items()}


def _check(folder: Path, wanted: Mapping[str, tuple[int, ...]], state: State) -> None:
    """Compare names, shapes and types; look for numbers that are not finite.

    Raises:
        CheckpointError: names the first that differ.
    """
    state = {k: state[k] for k in state if not k.endswith("position_ids")}
    faults = [f"lacks {k} {list(shape)}" for k, shape in wanted.items() if k not in state]
    faults += [f"has {k}, which nothing here reads" for k in state if k not in wanted]
    for k in wanted.keys() & state.keys():
        faults += _faults_of(k, wanted[k], state[k])
    if faults:
        more = f"\n  and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(
            f"What was given for {folder.parent.name}/{folder.name} is another network. It\n  "
            + "\n  ".join(sorted(faults)[:5])
            + f"{more}\nGet the checkpoint that `xbind bundle import --help` names."
        )


def _faults_of(name: str, shape: tuple[int, ...], x: Tensor) -> list[str]:
    if tuple(x.shape) != shape:
        return [f"has {name} of shape {list(x.shape)}, wanted {list(shape)}"]
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        return [f"has {name} as {x.dtype}: get the checkpoint in floating point"]
    if not (x.isfinite() | (x == -torch.inf)).all():  # a causal mask holds −∞
        return [f"has numbers in {name} that are not finite: the file is damaged"]
    return []


def _tower(build: Callable[[], nn.Module], state: State, tower: str) -> State:
    """Returns one tower of a checkpoint that may hold two, with the network's names.

    transformers leaves the prefix of a lone tower out in some versions and writes it in others.
    """
    wanted = _shapes(build)
    if any(k.startswith(f"{tower}.") for k in wanted):
        return {k: state[k] for k in state if k in wanted or k.startswith(f"{tower}.")}
    inside = convert.under(state, f"{tower}.")
    return inside or state


def _own(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what its library writes about itself."""
    return {
        k: v
        for k, v in config.items()
        if not re.match("_|architectures$|model_type$|transformers_version$|torch_dtype$|dtype$", k)
    }


def _read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    path = folder / name
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({reason(error)}).\n"
            f"Give a whole folder of diffusers, or a checkpoint in one file."
        ) from error


def _read_weights(folder: Path) -> State:
    for name in WEIGHTS:
        if is_file(folder / name):
            return read_checkpoint(folder / name)
    raise CheckpointError(
        f"{folder} holds no weights; wanted one of {', '.join(WEIGHTS)}.\nGet the folder again, "
        f"with its weights."
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
