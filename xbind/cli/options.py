"""The commands of `xbind`: one configuration each, one field per option. No torch here."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import tyro

from xbind.config.options import GenerateConfig, Precision, PromptConfig
from xbind.importing.sources import IMAGEBIND_FILE, UNCLIP_ID, ZERO123_ID


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptWords(PromptConfig):
    """A prompt whose text may be given without its option."""

    words: tyro.conf.Positional[Annotated[Optional[str], tyro.conf.arg(metavar="[TEXT]")]] = None  # noqa: UP045
    """Short for --text."""

    def __post_init__(self) -> None:
        if self.words is not None:
            if self.text not in (None, self.words):
                raise ValueError(
                    f"{self.words!r} is given beside --text {self.text!r}: "
                    f"give one of them, in quotes if it has several words"
                )
            object.__setattr__(self, "text", self.words)
        PromptConfig.__post_init__(self)  # `super()` does not work in a class with slots


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateCommand(GenerateConfig):
    """Make one textured mesh from one prompt."""

    prompt: Annotated[PromptWords, tyro.conf.OmitArgPrefixes]
    """What the object should be."""

    @staticmethod
    def of(settings: GenerateConfig) -> "GenerateCommand":
        """The command that asks for these settings."""
        prompt = PromptWords(**_values(settings.prompt, PromptConfig))
        return GenerateCommand(**_values(settings, GenerateConfig) | {"prompt": prompt})

    def settings(self) -> GenerateConfig:
        """Without what is short for something else."""
        prompt = PromptConfig(**_values(self.prompt, PromptConfig))
        return GenerateConfig(**_values(self, GenerateConfig) | {"prompt": prompt})


def _values(settings: object, of: type[GenerateConfig] | type[PromptConfig]) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(of)}


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorConfig:
    """Say what is installed here, what would run and why, and what is in the way."""

    bundle: str = "mini"
    """The bundle to check: `mini`, or the folder of a bundle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanConfig:
    """Say what a run would need of a GPU's memory, phase by phase; needs no weights and no GPU."""

    preset: str = "default"
    """The preset to plan."""
    bundle: str = "mini"
    """The bundle to plan with: `mini`, or the folder of a bundle."""
    bundle_config: Optional[Literal["sd21", "reduced"]] = None  # noqa: UP045
    """Plan with the shapes of the public networks instead, which need not be here; `reduced` is as
    deep and a tenth as wide."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB that it shall fit into; what it saves for that is what `xbind generate --vram` saves."""
    precision: Precision = "float16"
    """Of the frozen networks, before anything is saved; a run on CUDA takes float16 by default."""
    engine: Literal["engines", "eager"] = "engines"
    """Networks in engines, each loaded for its phase, or in eager torch, which shares one float32
    copy of all."""

    def __post_init__(self) -> None:
        if self.vram is not None and not 0 < self.vram < float("inf"):
            raise ValueError(f"--vram must be a positive number of GiB, got {self.vram}")
        if self.bundle_config is not None and self.bundle != "mini":
            raise ValueError("--bundle and --bundle-config are given: leave one of them out")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowBundleConfig:
    """Print what a bundle holds, and check its files against their hashes."""

    bundle: tyro.conf.Positional[str] = "mini"
    """`mini`, or the folder of a bundle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportBundleConfig:
    """Make a bundle of SD 2.1-unCLIP, Zero-1-to-3, ImageBind and CLIP; goes on when repeated."""

    unclip: str = UNCLIP_ID
    """Stable Diffusion 2.1-unCLIP (H): a folder of diffusers, a checkpoint in one file
    (.safetensors, or .ckpt, of which nothing is run), or a hub id."""
    zero123: str = ZERO123_ID
    """Zero-1-to-3 XL: a folder, a file or a hub id."""
    imagebind: Path = Path(IMAGEBIND_FILE)
    """ImageBind-huge: the file of its authors. Its licence forbids commercial use."""
    clip: str = ""
    """CLIP ViT-H/14, for the similarity loss: a folder, a file or a hub id; by default the image
    encoder of --unclip."""
    tokenizer: str = ""
    """A folder or hub id with CLIP's vocab.json and merges.txt; by default --unclip's."""
    taesd: str = ""
    """TAESD, a small decoder that --preset fast takes where it is: a folder of diffusers, a
    .safetensors file or a hub id, such as madebyollin/taesd; by default left out."""
    out: Path = Path("sd21")
    """Folder of the bundle, about 8.5 GB; then name it with --bundle."""
    allow_download: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fetch hub ids that are not on this machine yet, about 13 GB; else nothing is fetched."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomBundleConfig:
    """Make a bundle of the public networks' shapes with random weights, to try out a machine."""

    out: Path = Path("sd21-random")
    """Folder of the bundle: about 8.5 GB, or 60 MB with --reduced."""
    reduced: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """As deep, a tenth as wide, on pictures of 64 pixels."""
    seed: int = 0
    """Seed of the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListEnginesConfig:
    """List the compiled graphs that are kept, and which of them still fit this installation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyEnginesConfig:
    """Compare every byte of every compiled graph with its hash."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DiagnoseEnginesConfig:
    """Find the layer in which an engine leaves its tolerance, and layers to keep in float32.

    Compares every intermediate tensor with the same graph in float32 in ONNX Runtime. Layers that
    are found are built in float32 by `--precision mixed`. Needs Polygraphy.
    """

    key: tyro.conf.Positional[str]
    """The engine, or one that failed its parity gate: the start of its folder's name in the store,
    such as sds2d_img-b1-64px-tensorrt; a name that fits several lists them."""
    bundle: str = "mini"
    """The bundle that it was made of: `mini`, or the folder of a bundle."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """The bundle's 3D prior that it was made of; by default the bundle's default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GcEnginesConfig:
    """Remove compiled graphs that are damaged, unfinished, or for another installation."""

    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Remove all of them; what a run needs is built again."""
