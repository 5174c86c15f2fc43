"""From a bundle's files to frozen networks: `load_bundle`, and loaders of single networks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from xbind.diffusion.latents import Decoder, Vae
from xbind.diffusion.priors import UNet
from xbind.diffusion.schedule import (
    NoiseSchedule,
    alphas_cumprod,
    scaled_linear_betas,
    squared_cosine_betas,
)
from xbind.diffusion.view_words import VIEW_WORDS
from xbind.models.bind import BindModel
from xbind.models.bind_config import BindConfig
from xbind.models.convnet import ConvNet
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.models.patch_convnet import PatchConvNet
from xbind.models.text_encoder import TextEncoder
from xbind.models.tokenizer import BpeTokenizer, Tokenizer, WordTokenizer
from xbind.networks.components import Fill, fill_in, load_tensors, loading
from xbind.networks.frozen import AlignedEncoder, Bundle, Unclip, Zero123
from xbind.networks.manifest import (
    VIEW_WORDS_ROLE,
    BundleError,
    BundleManifest,
    read_config,
    verify,
)

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
"""File name that diffusers gives the weights of a model."""

MAX_TIMESTEPS = 100_000
"""Noise levels of a schedule, at most; public priors have 1000."""
MAX_TEXT = 4096
"""Tokens of a text encoder, at most; CLIP has 77."""


def load_bundle(manifest: BundleManifest) -> Bundle:
    """Check every file's hash, then load all networks in float32, frozen.

    Raises:
        BundleError: a file is missing, changed, or does not fit its configuration.
    """
    verify(manifest)
    return assemble(manifest, fill_in)


def load_shapes(
    manifest: BundleManifest, shapes: FakeTensorMode, dtype: torch.dtype = torch.float32
) -> Bundle:
    """The networks of a bundle as shapes: no weights are read, and none need be there.

    Args:
        manifest: of the bundle; of its files only the configurations, vocabularies and encoded
            texts are read.
        shapes: in which every parameter is a tensor without memory.
        dtype: of all networks but the camera projection.

    Raises:
        BundleError: a configuration is missing or damaged.
    """

    def fill(build: Callable[[], nn.Module], path: Path) -> nn.Module:
        del path
        with torch.device("meta"):
            net = build()
        if not isinstance(net, nn.Linear):
            net = nn.Module.to(net, dtype)
        with shapes:
            return net.to_empty(device="cpu").eval().requires_grad_(False)

    return assemble(manifest, fill)


def assemble(manifest: BundleManifest, fill: Fill) -> Bundle:
    """A bundle whose networks `fill` has made."""
    return Bundle(
        manifest=manifest,
        bind=load_bind(manifest, fill),
        clip=load_clip(manifest.part("clip"), fill),
        clip_size=_clip_size(manifest.part("clip")),
        unclip=_load_unclip(manifest, fill),
        zero123=_load_zero123(manifest, fill),
        view=load_convnet(manifest.part("view"), fill) if manifest.has("view") else None,
        taesd=_load_taesd(manifest.part("taesd"), fill) if manifest.has("taesd") else None,
    )


def _clip_size(folder: Path) -> int:
    path = folder / "config.json"
    with loading(path):
        size = read_config(path)["image_size"]
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"image_size is {size!r}")
        return size


def load_bind(manifest: BundleManifest, fill: Fill = fill_in) -> AlignedEncoder:
    """The aligned encoder alone.

    Raises:
        BundleError: a file is missing or does not fit.
    """
    folder = manifest.part("bind")
    config, words = read_config(folder / "config.json"), read_config(folder / "tokenizer.json")
    with loading(folder):
        shape = BindConfig.from_dict(config)
        net = fill(lambda: BindModel(shape), folder / "model.safetensors")
        return AlignedEncoder(
            cast(BindModel, net),
            _tokenizer(folder, words),
            _groups(words),
            FbankConfig(**read_config(folder / "fbank.json")),
            DepthConfig(**read_config(folder / "depth.json")),
            dict(manifest.raw["embedding_norm"]),
            _load_names(manifest),
        )


def _tokenizer(folder: Path, words: Mapping[str, Any]) -> Tokenizer:
    length = words["length"]
    if not isinstance(length, int) or not 3 <= length <= MAX_TEXT:
        raise ValueError(f"length is {length!r} in tokenizer.json; wanted 3 to {MAX_TEXT} tokens")
    if "vocabulary" in words:
        return WordTokenizer(_texts(words["vocabulary"]), length)
    return BpeTokenizer(folder / "vocab.json", folder / "merges.txt", length)


def _groups(words: Mapping[str, Any]) -> dict[str, list[str]]:
    """The words of a closed vocabulary by kind; none for an open one."""
    if "vocabulary" not in words:
        return {}
    return {name: list(_texts(group)) for name, group in words["groups"].items()}


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("tokenizer.json has no list of words where one is wanted")
    return tuple(values)


def _load_names(manifest: BundleManifest) -> tuple[str, ...]:
    """The lines of the file that `names` in `bundle.json` names, without blank ones; or nothing.

    Raises:
        BundleError: it is not among the bundle's files, cannot be read, or is empty.
    """
    name = manifest.raw.get("names")
    if name is None:
        return ()
    path = manifest.folder / str(name)
    if name not in manifest.files:
        raise BundleError(
            f"bundle.json of {manifest.name!r} names {name!r} as its list of names, but does not "
            f"have it among its files.\nAdd its sha256 and bytes there, or leave `names` out."
        )
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path} cannot be read ({error}).\nIt wants one name a line, in UTF-8."
        ) from error
    if not any(lines):
        raise BundleError(f"{path} holds no names.\nWrite one a line, or leave `names` out.")
    return tuple(dict.fromkeys(line for line in lines if line))


def load_clip(folder: Path, fill: Fill = fill_in) -> nn.Module:
    """A CLIPVisionModelWithProjection: `config.json` and `model.safetensors`.

    Raises:
        BundleError: the files are missing or do not fit.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with loading(folder):
        config = CLIPVisionConfig(**read_config(folder / "config.json"))
        return fill(lambda: CLIPVisionModelWithProjection(config), folder / "model.safetensors")


def _load_unet(folder: Path, fill: Fill) -> UNet:
    from diffusers import UNet2DConditionModel

    config = read_config(folder / "config.json")
    with loading(folder):
        net = fill(lambda: UNet2DConditionModel.from_config(config), folder / DIFFUSERS_WEIGHTS)
    return cast(UNet, net)


def _load_vae(folder: Path, fill: Fill) -> Vae:
    from diffusers import AutoencoderKL

    config = read_config(folder / "config.json")
    with loading(folder):
        net = fill(lambda: AutoencoderKL.from_config(config), folder / DIFFUSERS_WEIGHTS)
    return cast(Vae, net)


def _load_taesd(folder: Path, fill: Fill) -> Decoder:
    from diffusers import AutoencoderTiny

    config = read_config(folder / "config.json")
    with loading(folder):
        net = fill(lambda: AutoencoderTiny.from_config(config), folder / DIFFUSERS_WEIGHTS)
    return cast(Decoder, net)


def _load_alphas(folder: Path) -> tuple[Float[Tensor, " steps"], dict[str, Any]]:
    """ᾱ of a diffusers scheduler folder, and its configuration."""
    path = folder / "scheduler_config.json"
    config = read_config(path)
    with loading(path):
        steps = config["num_train_timesteps"]
        if not isinstance(steps, int) or not 1 <= steps <= MAX_TIMESTEPS:
            raise ValueError(f"num_train_timesteps is {steps!r}; wanted 1 to {MAX_TIMESTEPS}")
        match config["beta_schedule"]:
            case "scaled_linear":
                betas = scaled_linear_betas(config["beta_start"], config["beta_end"], steps)
            case "squaredcos_cap_v2":
                betas = squared_cosine_betas(steps)
            case other:
                raise BundleError(
                    f"{path} has the beta schedule {other!r}; wanted scaled_linear or "
                    f"squaredcos_cap_v2.\nImport the bundle again from a supported checkpoint."
                )
        alphas = alphas_cumprod(betas)
        if not bool(((alphas > 0) & (alphas <= 1)).all()):
            raise ValueError("its betas give no noise levels between 0 and 1")
    return alphas, config


def _load_schedule(folder: Path) -> NoiseSchedule:
    alphas, config = _load_alphas(folder)
    with loading(folder):
        return NoiseSchedule(alphas, config["prediction_type"])


def _load_unclip(manifest: BundleManifest, fill: Fill) -> Unclip:
    normalizer = manifest.part("unclip.normalizer") / DIFFUSERS_WEIGHTS
    mean, std = load_tensors(normalizer, "mean", "std")
    [null_context] = load_tensors(manifest.part("unclip.empty_prompt"), "context")
    unet = _load_unet(manifest.part("unclip.unet"), fill)
    contexts = null_context
    if manifest.has_view_words:
        contexts = _with_view_words(manifest.part(VIEW_WORDS_ROLE), unet, null_context)
    text_encoder = None
    if manifest.has("unclip.text_encoder"):
        text_encoder = _load_text_encoder(manifest.part("unclip.text_encoder"), fill)
    with loading(manifest.folder / "bundle.json"):
        image_size = manifest.image_size_2d
    return Unclip(
        unet=unet,
        vae=_load_vae(manifest.part("unclip.vae"), fill),
        schedule=_load_schedule(manifest.part("unclip.scheduler")),
        contexts=contexts,
        mean=mean.flatten(),
        std=std.flatten(),
        noising_alphas_cumprod=_load_alphas(manifest.part("unclip.noising_scheduler"))[0],
        image_size=image_size,
        text_encoder=text_encoder,
    )


def _load_text_encoder(folder: Path, fill: Fill) -> TextEncoder:
    """A CLIPTextModel with its tables and, in `tokenizer.json`, its length and padding."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config, words = read_config(folder / "config.json"), read_config(folder / "tokenizer.json")
    with loading(folder):
        shape = CLIPTextConfig(**config)
        tokenizer, pad, most = (
            _tokenizer(folder, words),
            words["pad"],
            shape.max_position_embeddings,
        )
        if not isinstance(tokenizer, BpeTokenizer) or tokenizer.length > most:
            raise ValueError(f"tokenizer.json is not of byte pairs for {most} tokens at most")
        if not isinstance(pad, int) or not 0 <= pad < shape.vocab_size:
            raise ValueError(f"pad is {pad!r}; wanted the id of one of {shape.vocab_size} tokens")
        model = fill(lambda: CLIPTextModel(shape), folder / "model.safetensors")
    return TextEncoder(model, tokenizer, pad)


def _with_view_words(
    path: Path, unet: UNet, null_context: Float[Tensor, "1 l c"]
) -> Float[Tensor, "n l c"]:
    """The table of contexts with view words; parameters of the UNet that read them are replaced.

    The file holds `contexts` [n − 1, l, c], and may hold parameters under the UNet's own names.

    Raises:
        BundleError: a tensor is missing, is not finite, or does not fit the UNet or the context.
    """
    with loading(path):
        names = sorted(load_file(path).keys() - {"contexts"})
        words, *changes = load_tensors(path, "contexts", *names)
        wanted = (len(VIEW_WORDS) - 1, *null_context.shape[1:])
        if words.shape != wanted:
            raise ValueError(f"contexts has the shape {list(words.shape)}; wanted {list(wanted)}")
        parameters = dict(cast(nn.Module, unet).named_parameters())
        for name, change in zip(names, changes, strict=True):
            if name not in parameters or parameters[name].shape != change.shape:
                raise ValueError(f"the UNet has no parameter {name} of {list(change.shape)}")
            parameters[name].copy_(change)
    return torch.cat([null_context, words])


def _load_zero123(manifest: BundleManifest, fill: Fill) -> Zero123:
    folder = manifest.part("zero123.camera_projection")
    shape = read_config(folder / "config.json")
    told_pose = shape.pop("told_pose", False)
    with loading(folder):
        projection = fill(lambda: nn.Linear(**shape), folder / "model.safetensors")
    with loading(manifest.folder / "bundle.json"):
        image_size = manifest.raw["image_size"]["zero123"]
        norm = manifest.raw["embedding_norm"].get("zero123")
    return Zero123(
        unet=_load_unet(manifest.part("zero123.unet"), fill),
        vae=_load_vae(manifest.part("zero123.vae"), fill),
        schedule=_load_schedule(manifest.part("zero123.scheduler")),
        image_encoder=load_clip(manifest.part("zero123.image_encoder"), fill),
        projection=cast(nn.Linear, projection),
        view=load_convnet(manifest.part("view"), fill) if told_pose else None,
        embedding_norm=norm,
        image_size=image_size,
    )


def load_convnet(folder: Path, fill: Fill = fill_in) -> ConvNet:
    """The first judge or a pose estimator: `config.json` and `model.safetensors`.

    Raises:
        BundleError: the files are missing or do not fit.
    """
    config = read_config(folder / "config.json")
    with loading(folder):
        net = fill(
            lambda: ConvNet(config["widths"], config["outputs"], pooled=config["pooled"]),
            folder / "model.safetensors",
        )
    return cast(ConvNet, net)


def load_patch_convnet(folder: Path, fill: Fill = fill_in) -> PatchConvNet:
    """The second judge: `config.json` and `model.safetensors`.

    Raises:
        BundleError: the files are missing or do not fit.
    """
    config = read_config(folder / "config.json")
    with loading(folder):
        net = fill(
            lambda: PatchConvNet(config["widths"], config["dilations"], config["outputs"]),
            folder / "model.safetensors",
        )
    return cast(PatchConvNet, net)
