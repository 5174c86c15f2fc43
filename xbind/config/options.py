"""User options with meaning and unit. Read-only after construction; imports no torch."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, cast, get_args

import tyro

from xbind.config.backends import BACKENDS
from xbind.config.threads import ThreadCount

# `Optional[...]`, because for `... | None` tyro imports a type checker: 0.1 s more for --help.
_Text = Annotated[Optional[str], tyro.conf.arg(metavar="TEXT")]  # noqa: UP045
_File = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")]  # noqa: UP045
_Degrees = Annotated[Optional[float], tyro.conf.arg(metavar="DEG")]  # noqa: UP045
ConfigPath = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")]  # noqa: UP045
"""A TOML file that changes numbers of a preset."""
if TYPE_CHECKING:
    Changes = Mapping[str, Any]
else:
    Changes = Annotated[object, tyro.conf.Suppress]  # for a mapping tyro imports a type checker

Modality = Literal["text", "image", "audio", "depth", "video", "thermal", "imu"]
"""Modalities of a prompt."""
MODALITIES: tuple[Modality, ...] = (
    "text", "image", "audio", "depth", "video", "thermal", "imu",
)  # fmt: skip

IMAGE_OPTIONS = ("mask", "matting_weights", "elevation", "azimuth")
"""Fields of a prompt that say something about its image; all are None by default."""
LEAST_SHARE = 1e-6
"""Least weight of a modality beside the largest one; less is lost in float32's rounding."""

Precision = Literal["float32", "float16", "bfloat16", "mixed"]
"""Precision of the frozen networks in an engine, or on a GPU; `mixed` is float16 with the layers in
float32 that `xbind engines diagnose` has found."""

PrecisionChoice = Literal["auto", "float32", "float16", "bfloat16", "mixed"]
"""A precision, or the one that suits the device; see `precision_for`."""


def precision_for(choice: PrecisionChoice, device: str) -> Precision:
    """`choice`, where `auto` is float16 on CUDA and float32 on a CPU.

    float32 products take CUDA four to sixteen times as long as float16 ones, whose error each
    engine's parity gate bounds (0.03 of the gradient); CPUs gain nothing from float16.

    Args:
        choice: of the user.
        device: `cpu` or `cuda`.
    """
    if choice == "auto":
        return "float16" if device == "cuda" else "float32"
    return choice


DeviceChoice = Annotated[str, tyro.conf.arg(metavar="{auto,cpu,cuda,cuda:N}")]
"""Device; `auto` is CUDA if torch finds a device and Triton is installed, and
`cuda:1` is the second GPU."""


def check_device(name: str) -> None:
    """Refuse what is no name of a device.

    Raises:
        ValueError: it is not `auto`, `cpu`, `cuda` or `cuda:` and a number.
    """
    if re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", name) is None:
        raise ValueError(f"--device wants auto, cpu, cuda, or cuda:1 and so on; got {name!r}")


PlanarLoss = Literal["sds", "cds", "vsd"]
"""Loss of the 2D prior: augmented SDS (Eq. 5), CDS (Eq. 3), or VSD (ProlificDreamer)."""
Phase2Loss = Literal["sds", "cds"]
"""Losses of the 2D prior that Fig. 6 compares in Phase II."""

Material = Literal["unlit", "lit"]
"""Rendering of the texture in viewers: as it is, or lit again."""

Pivot = Literal["base", "center"]
"""Origin of a mesh file: middle of the bounding box's bottom face, or its centre."""

HEIGHT_RANGE_M = (1e-6, 1e6)
"""Heights that a mesh file can be given; beyond them viewers run out of float32 and depth range."""

Part = Literal["stereo", "planar", "three-phase", "ms"]
"""Parts of the method that an ablation (Fig. 7) leaves out."""


def parts_named(text: str) -> tuple[Part, ...]:
    """The parts of `--without`, as in "ms,stereo".

    Raises:
        ValueError: there is no such part, or one is named twice.
    """
    names = [name.strip() for name in text.split(",")] if text else []
    unknown = [name for name in names if name not in get_args(Part)]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"--without wants some of {', '.join(get_args(Part))}, with commas between them, "
            f"each once; got {text!r}"
        )
    return tuple(cast(Part, name) for name in names)


MAX_THREADS = 1024
"""More threads than this are refused: the libraries below end the process when they run out."""


def check_threads(threads: int) -> None:
    """Refuse a number of threads that cannot be meant.

    Raises:
        ValueError: it is not in 1 … `MAX_THREADS`.
    """
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    if threads > MAX_THREADS:
        raise ValueError(f"--threads must be at most {MAX_THREADS}, got {threads}")


if TYPE_CHECKING:
    EngineChoice = str
    BuildChoice = str
else:
    EngineChoice = Literal[("auto", "eager", "cuda-graphs", *BACKENDS)]
    BuildChoice = Literal[("auto", *BACKENDS)]
"""What computes the frozen networks, and what engines are built for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptConfig:
    """Prompt: one modality, or several mixed by weight."""

    text: _Text = None
    """Words, such as "a red mug"."""
    exact_words: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Closed vocabularies: accept only the bundle's own words, no synonyms."""
    ignore_unknown: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """For bundles with a closed vocabulary: leave out adjectives, colours and details that the
    bundle does not know, instead of refusing the prompt; the run says which."""
    image: _File = None
    """A picture of one object: PNG, JPEG, WebP, BMP, TIFF or GIF; an alpha channel is its mask."""
    mask: _File = None
    """The object's mask in --image, a picture of the same shape: white is the object. By default
    the alpha channel, else what differs from the background."""
    matting_weights: _File = None
    """A U²-Net in ONNX form that finds the object in --image, for photographs; none is
    downloaded."""
    elevation: _Degrees = None
    """Elevation from which --image shows the object, in degrees: 0 level, 90 from above. By default
    estimated where the bundle has a pose network, else 0."""
    azimuth: _Degrees = None
    """Azimuth from which --image shows the object, in degrees: 0 the front, 90 its left side. By
    default estimated where the bundle has a pose network, else 0."""
    audio: _File = None
    """A sound: WAV, FLAC, OGG or MP3. Channels are mixed down; of a long file three windows of two
    seconds are heard."""
    depth: _File = None
    """A depth map: PNG or TIFF of 8 or 16 bits, or a NumPy .npy file; 0 means not measured."""
    depth_kind: Literal["depth", "disparity"] = "depth"
    """Values of --depth: `depth` grows with distance, `disparity` shrinks with it."""
    video: _File = None
    """A moving picture: GIF, WebP or PNG; with the `video` extra MP4, WebM, MOV and others."""
    thermal: _File = None
    """A thermal picture, in grey: brighter is warmer."""
    imu: _File = None
    """Five seconds of motion: a NumPy .npy or .csv file with six columns (or rows): acceleration
    x, y, z and angular velocity x, y, z."""
    text_weight: float = 1.0
    """Weight of the text in the mix; only the ratios of the weights matter."""
    image_weight: float = 1.0
    """Weight of the image in the mix."""
    audio_weight: float = 1.0
    """Weight of the sound in the mix."""
    depth_weight: float = 1.0
    """Weight of the depth map in the mix."""
    video_weight: float = 1.0
    """Weight of the video in the mix."""
    thermal_weight: float = 1.0
    """Weight of the thermal picture in the mix."""
    imu_weight: float = 1.0
    """Weight of the motion in the mix."""

    def __post_init__(self) -> None:
        if self.text is not None and not self.text.strip():
            raise ValueError('--text is empty: write what to make, such as --text "a red mug"')
        if self.text is None and (self.exact_words or self.ignore_unknown):
            flag = "--exact-words" if self.exact_words else "--ignore-unknown"
            raise ValueError(f"{flag} is given without --text: leave it out or add --text")
        for modality in MODALITIES:
            self._check_weight(modality)
        self._check_ratios()
        if self.depth is None and self.depth_kind != "depth":
            raise ValueError("--depth-kind is given without --depth: leave it out or name a file")
        self._check_image_options()

    def _check_image_options(self) -> None:
        for name in IMAGE_OPTIONS:
            if getattr(self, name) is not None and self.image is None:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} is given without --image: leave it out or add --image")
        if self.mask is not None and self.matting_weights is not None:
            raise ValueError("--mask and --matting-weights both decide the mask: give one of them")
        if self.elevation is not None and not -90.0 <= self.elevation <= 90.0:
            raise ValueError(f"--elevation must be in −90 … 90 degrees, got {self.elevation}")
        if self.azimuth is not None and not math.isfinite(self.azimuth):
            raise ValueError(f"--azimuth must be a number of degrees, got {self.azimuth}")

    def _check_weight(self, modality: Modality) -> None:
        weight = self.weight(modality)
        if not 0.0 < weight < float("inf"):
            raise ValueError(
                f"--{modality}-weight must be a positive number, got {weight}; "
                f"to leave the {modality} out, leave out --{modality}"
            )
        if weight != 1.0 and modality not in self.given():
            raise ValueError(
                f"--{modality}-weight is given without --{modality}: "
                f"leave it out or add --{modality}"
            )

    def _check_ratios(self) -> None:
        largest = max((self.weight(m) for m in self.given()), default=1.0)
        for modality in self.given():
            if self.weight(modality) < LEAST_SHARE * largest:
                raise ValueError(
                    f"--{modality}-weight {self.weight(modality)} changes nothing beside "
                    f"{largest}: weights may differ by a factor of {1 / LEAST_SHARE:.0e} at most; "
                    f"to leave the {modality} out, leave out --{modality}"
                )

    def given(self) -> tuple[Modality, ...]:
        """The modalities of this prompt, in the order of `MODALITIES`."""
        return tuple(modality for modality in MODALITIES if getattr(self, modality) is not None)

    def weight(self, modality: Modality) -> float:
        """The weight of one modality in the mix, as it was given (not normalised)."""
        weight: float = getattr(self, f"{modality}_weight")
        return weight


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesConfig:
    """Format of the mesh files. No step of the run depends on it."""

    material: Annotated[Optional[Material], tyro.conf.arg(metavar="{unlit,lit}")] = None  # noqa: UP045
    """`unlit` (default): viewers show the texture as it is, since it holds the object's shading;
    `lit`: they light it as well, which darkens what is dark already. With --resume, this and the
    two below may differ from the run's: its files are then written again."""
    pivot: Annotated[Optional[Pivot], tyro.conf.arg(metavar="{base,center}")] = None  # noqa: UP045
    """Origin of the mesh files: `base` (default), the middle of the bounding box's bottom face, so
    that the object stands on y = 0; or `center`, the middle of the box."""
    height: Annotated[Optional[float], tyro.conf.arg(metavar="METRES")] = None  # noqa: UP045
    """Height of the object in the mesh files, in metres; width and depth follow. By default one
    scene unit is written as one metre, which makes objects about one metre tall."""

    def __post_init__(self) -> None:
        low, high = HEIGHT_RANGE_M
        if self.height is not None and not low <= self.height <= high:
            raise ValueError(
                f"--height must be between {low:g} and {high:g} metres, got {self.height}"
            )
        for name, choices in (("material", Material), ("pivot", Pivot)):
            if getattr(self, name) not in (None, *get_args(choices)):
                raise ValueError(
                    f"--{name} wants one of {', '.join(get_args(choices))}, "
                    f"got {getattr(self, name)!r}"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig:
    """Make one textured mesh from one prompt."""

    prompt: Annotated[PromptConfig, tyro.conf.OmitArgPrefixes]
    """Prompt of the object."""
    out: Path = Path("out/xbind")
    """Folder of the run: mesh, texture, previews, events, checkpoints."""
    seed: int = 0
    """Seed of every random draw; the same seed on the same machine gives the same mesh."""
    preset: str = "default"
    """Named set of the method's numbers, one of the paper's baselines, or a system that it is
    compared with, such as `magic3d`; a wrong name lists the right ones. `smoke` only checks that
    everything runs: its objects are balls; for a quick look use --reference-only. `xbind config
    show PRESET` lists its numbers; `--method.coarse.steps 300` changes one of them."""
    method: Changes = field(default_factory=dict)
    """What differs from the preset's numbers: dotted name → value, such as {"coarse.steps": 300}
    (`--method.coarse.steps 300`)."""
    without: Annotated[str, tyro.conf.arg(metavar="PARTS")] = ""
    """Leave out parts of the method (Fig. 7): `stereo`, `planar`, `three-phase`, `ms`, or several
    with commas between them."""
    phase2_loss: Annotated[Optional[Phase2Loss], tyro.conf.arg(metavar="{sds,cds}")] = None  # noqa: UP045
    """Loss of the 2D prior in Phase II, instead of the method's: `sds` or `cds` (Fig. 6)."""
    from_phase1: Annotated[Optional[Path], tyro.conf.arg(metavar="RUN")] = None  # noqa: UP045
    """Folder of another run of the same prompt and seed: start where its Phase I ended."""
    bundle: str = "mini"
    """The frozen networks: `mini`, which is installed with xbind, or the folder of a bundle."""
    prior_2d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """Which of the bundle's 2D priors to use, such as `sd_base`, Stable Diffusion 2.1-base, which
    reads --text alone; by default the preset's, else the bundle's default."""
    prior_3d: Annotated[Optional[str], tyro.conf.arg(metavar="NAME")] = None  # noqa: UP045
    """Which of the bundle's 3D priors to use, such as `wide` or `narrow`; by default the preset's,
    else the bundle's default. A wrong name lists those that the bundle has."""
    device: DeviceChoice = "auto"
    """Where to compute; `auto` takes CUDA if there is a device, and says which it took; `cuda:1` is
    the second GPU. The same seed gives another object on another device: each draws its own random
    numbers."""
    engine: EngineChoice = "auto"
    """What computes the frozen networks: engines, with their gradient inside, or `eager` torch.
    `auto` takes the fastest that is installed: on a CPU OpenVINO, else ONNX Runtime (the other way
    round with two threads or more); on CUDA TensorRT, TensorRT-RTX, `onnxruntime-gpu`, else eager
    torch as `cuda-graphs`, which starts each step's kernels together. `inductor` (CUDA) and
    `inductor-cpu` need a C++ compiler. Engines are built on first use."""
    precision: PrecisionChoice = "auto"
    """Of the frozen networks: `auto` is float16 on CUDA and float32 on a CPU. In engines, a graph
    that loses too much in half stays in float32, and the run says which. bfloat16 is faster where
    the CPU has it; `--engine auto` then takes OpenVINO. `mixed` is float16 with some layers in
    float32, as `xbind engines diagnose` finds them."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB of memory that frozen networks and the scene may take together. Where a part of the run
    needs more, it saves: float16, guidance in two passes, views one at a time, one engine loaded at
    a time, in this order, as far as needed; `xbind plan` shows it. By default nothing is saved."""
    threads: ThreadCount = 1
    """Threads that compute; with two or more, two guidance steps of an iteration run at a time.
    That takes less time on a machine that does nothing else, and more where other programs use the
    cores. `auto` takes 2 where two cores were idle during the last minute, else 1. The same seed
    gives the same mesh for the same number; --resume takes that of the run."""
    reference_only: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Stop when the prompt is encoded and the reference view is there: a look at what the prompt is
    understood as, in seconds. --resume then makes the object."""
    candidate: Annotated[Optional[int], tyro.conf.arg(metavar="N")] = None  # noqa: UP045
    """Take this one of the sampled reference views, by its number in references.png, in place of
    the one that is chosen by score; with the same prompt and seed the samples are the same."""
    tensorboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also write losses and previews for TensorBoard, into tensorboard/ in the run's folder; needs
    the extra `xbind[tensorboard]`. Give it again with --resume."""
    files: Annotated[FilesConfig, tyro.conf.OmitArgPrefixes] = FilesConfig()
    """Format of the mesh files."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue the run that is in --out, with its prompt and settings: they need not be given."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start again in a folder that holds a run; that run's files are removed."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"--seed must be in 0 … 2^63 − 1, got {self.seed}")
        if not self.prompt.given() and not self.resume:
            raise ValueError(
                f"no prompt: give at least one of {', '.join(f'--{m}' for m in MODALITIES)}, "
                'such as --text "a red mug"'
            )
        parts_named(self.without)
        check_threads(self.threads)
        check_device(self.device)
        in_half = self.precision not in ("auto", "float32")
        if in_half and self.engine == "eager" and self.device == "cpu":
            raise ValueError(
                f"--precision {self.precision} is for engines and for CUDA, but --engine is eager "
                "and --device cpu: leave one of them out"
            )
        if self.vram is not None and not 0 < self.vram < float("inf"):
            raise ValueError(f"--vram must be a positive number of GiB, got {self.vram}")
        if self.from_phase1 is not None and "three-phase" in parts_named(self.without):
            raise ValueError(
                "--from-phase1 goes on with Phase II, which --without three-phase leaves out: "
                "give one of them"
            )
        if self.from_phase1 is not None and _same(self.from_phase1, self.out):
            raise ValueError("--from-phase1 and --out are the same folder: give another --out")
        if self.resume and self.overwrite:
            raise ValueError(
                "--resume continues the run in --out and --overwrite removes it: give one of them"
            )
        if self.candidate is not None:
            if self.candidate < 1:
                raise ValueError(f"--candidate counts from 1, got {self.candidate}")
            for flag, given in (
                ("image", self.prompt.image), ("from-phase1", self.from_phase1),
            ):  # fmt: skip
                if given is not None:
                    raise ValueError(
                        f"--candidate chooses among sampled reference views, and --{flag} brings "
                        f"its own: give one of them"
                    )
        for flag in ("resume", "from_phase1"):
            if self.reference_only and getattr(self, flag):
                raise ValueError(
                    f"--reference-only stops before Phase I, and --{flag.replace('_', '-')} goes "
                    "on after the reference view: give one of them"
                )
        for name in ("preset", "bundle"):
            if not getattr(self, name).strip():
                raise ValueError(f"--{name} is empty: leave it out or give a name")
        for flag, prior in (("--prior-2d", self.prior_2d), ("--prior-3d", self.prior_3d)):
            if prior is not None and not prior.strip():
                raise ValueError(f"{flag} is empty: leave it out or give a name")


def _same(one: Path, other: Path) -> bool:
    """Returns True if two paths are the same place; links in a circle are compared by name."""
    return os.path.realpath(one) == os.path.realpath(other)
