"""From a bundle's files to frozen networks: `load_bundle`, and loaders of single networks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from safetensors import SafetensorError
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
from xbind.models.bind import BindModel
from xbind.models.bind_config import BindConfig
from xbind.models.convnet import ConvNet
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.models.tokenizer import BpeTokenizer, WordTokenizer
from xbind.networks.frozen import AlignedEncoder, Bundle, Unclip, Zero123
from xbind.networks.manifest import BundleError, BundleManifest, verify

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
"""File name that diffusers gives the weights of a model."""

Fill = Callable[[Callable[[], nn.Module], Path], nn.Module]
"""Makes a network and gives it the weights of a file."""


def load_bundle(manifest: BundleManifest) -> Bundle:
    """Check every file's hash, then load all networks in float32, frozen.

    Raises:
        BundleError: a file is missing, changed, or does not fit its configuration.
    """
    verify(manifest)
    return assemble(manifest, _fill)


def load_shapes(
    manifest: BundleManifest, shapes: FakeTensorMode, dtype: torch.dtype = torch.float32
) -> Bundle:
    """The networks of a bundle as shapes: no weights are read, and none need be there.

    Args:
        manifest: of the bundle; of its files only the configurations, vocabularies and the encoded
            empty prompt are read.
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
        clip_size=_read_json(manifest.part("clip") / "config.json")["image_size"],
        unclip=_load_unclip(manifest, fill),
        zero123=_load_zero123(manifest, fill),
        view=load_convnet(manifest.part("view"), fill) if manifest.has("view") else None,
        taesd=_load_taesd(manifest.part("taesd"), fill) if manifest.has("taesd") else None,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path} cannot be read ({error}).\nInstall or import the bundle again."
        ) from error
    return content


def _fill(build: Callable[[], nn.Module], path: Path) -> nn.Module:
    """Load safetensors into a network as float32 and freeze it.

    Raises:
        BundleError: the file does not fit the network.
    """
    net = build()
    try:
        state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
        net.load_state_dict(state)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise BundleError(
            f"{path} does not fit its configuration:\n{error}\nInstall or import the bundle again."
        ) from error
    return net.eval().requires_grad_(False)


def load_bind(manifest: BundleManifest, fill: Fill = _fill) -> AlignedEncoder:
    """The aligned encoder alone.

    Raises:
        BundleError: a file is missing or does not fit.
    """
    folder = manifest.part("bind")
    config = _read_json(folder / "config.json")
    words = _read_json(folder / "tokenizer.json")
    closed = "vocabulary" in words
    net = fill(lambda: BindModel(BindConfig.from_dict(config)), folder / "model.safetensors")
    return AlignedEncoder(
        cast(BindModel, net),
        WordTokenizer(tuple(words["vocabulary"]), words["length"])
        if closed
        else BpeTokenizer(folder / "vocab.json", folder / "merges.txt", words["length"]),
        words["groups"] if closed else {},
        FbankConfig(**_read_json(folder / "fbank.json")),
        DepthConfig(**_read_json(folder / "depth.json")),
        dict(manifest.raw["embedding_norm"]),
        _load_names(manifest),
    )


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


def load_clip(folder: Path, fill: Fill = _fill) -> nn.Module:
    """A CLIPVisionModelWithProjection: `config.json` and `model.safetensors`.

    Raises:
        BundleError: the files are missing or do not fit.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(**_read_json(folder / "config.json"))
    return fill(lambda: CLIPVisionModelWithProjection(config), folder / "model.safetensors")


def _load_unet(folder: Path, fill: Fill) -> UNet:
    from diffusers import UNet2DConditionModel

    config = _read_json(folder / "config.json")
    net = fill(lambda: UNet2DConditionModel.from_config(config), folder / DIFFUSERS_WEIGHTS)
    return cast(UNet, net)


def _load_vae(folder: Path, fill: Fill) -> Vae:
    from diffusers import AutoencoderKL

    config = _read_json(folder / "config.json")
    net = fill(lambda: AutoencoderKL.from_config(config), folder / DIFFUSERS_WEIGHTS)
    return cast(Vae, net)


def _load_taesd(folder: Path, fill: Fill) -> Decoder:
    from diffusers import AutoencoderTiny

    config = _read_json(folder / "config.json")
    net = fill(lambda: AutoencoderTiny.from_config(config), folder / DIFFUSERS_WEIGHTS)
    return cast(Decoder, net)


def _load_alphas(folder: Path) -> tuple[Float[Tensor, " steps"], dict[str, Any]]:
    """ᾱ of a diffusers scheduler folder, and its configuration."""
    path = folder / "scheduler_config.json"
    config = _read_json(path)
    steps = config["num_train_timesteps"]
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
    return alphas_cumprod(betas), config


def _load_schedule(folder: Path) -> NoiseSchedule:
    alphas, config = _load_alphas(folder)
    return NoiseSchedule(alphas, config["prediction_type"])


def _load_unclip(manifest: BundleManifest, fill: Fill) -> Unclip:
    normalizer = load_file(manifest.part("unclip.normalizer") / DIFFUSERS_WEIGHTS)
    return Unclip(
        unet=_load_unet(manifest.part("unclip.unet"), fill),
        vae=_load_vae(manifest.part("unclip.vae"), fill),
        schedule=_load_schedule(manifest.part("unclip.scheduler")),
        context=load_file(manifest.part("unclip.empty_prompt"))["context"].float(),
        mean=normalizer["mean"].float().flatten(),
        std=normalizer["std"].float().flatten(),
        noising_alphas_cumprod=_load_alphas(manifest.part("unclip.noising_scheduler"))[0],
        image_size=manifest.raw["image_size"]["unclip"],
    )


def _load_zero123(manifest: BundleManifest, fill: Fill) -> Zero123:
    folder = manifest.part("zero123.camera_projection")
    shape = _read_json(folder / "config.json")
    told_pose = shape.pop("told_pose", False)
    projection = fill(lambda: nn.Linear(**shape), folder / "model.safetensors")
    return Zero123(
        unet=_load_unet(manifest.part("zero123.unet"), fill),
        vae=_load_vae(manifest.part("zero123.vae"), fill),
        schedule=_load_schedule(manifest.part("zero123.scheduler")),
        image_encoder=load_clip(manifest.part("zero123.image_encoder"), fill),
        projection=cast(nn.Linear, projection),
        view=load_convnet(manifest.part("view"), fill) if told_pose else None,
        embedding_norm=manifest.raw["embedding_norm"].get("zero123"),
        image_size=manifest.raw["image_size"]["zero123"],
    )


def load_convnet(folder: Path, fill: Fill = _fill) -> ConvNet:
    """A judge or a pose estimator: `config.json` and `model.safetensors`.

    Raises:
        BundleError: the files are missing or do not fit.
    """
    config = _read_json(folder / "config.json")
    net = fill(
        lambda: ConvNet(config["widths"], config["outputs"], pooled=config["pooled"]),
        folder / "model.safetensors",
    )
    return cast(ConvNet, net)
