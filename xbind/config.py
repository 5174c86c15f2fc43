"""What a user chooses, with its meaning and unit. Read-only after construction; no torch here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional, cast, get_args

import tyro

# `Optional[...]`, because for `... | None` tyro imports a type checker: 0.1 s more for --help.
_Text = Annotated[Optional[str], tyro.conf.arg(metavar="TEXT")]  # noqa: UP045
_File = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE")]  # noqa: UP045

Modality = Literal["text", "image", "audio", "depth", "video", "thermal", "imu"]
"""What a prompt can be made of."""
MODALITIES: tuple[Modality, ...] = (
    "text", "image", "audio", "depth", "video", "thermal", "imu",
)  # fmt: skip

Precision = Literal["float32", "float16", "bfloat16"]
"""Of the frozen networks in an engine, or on a GPU."""

DeviceChoice = Literal["auto", "cpu", "cuda"]
"""Where to compute; `auto` is CUDA where torch finds a device and Triton is installed."""

PlanarLoss = Literal["sds", "cds"]
"""Of the 2D prior: augmented SDS (Eq. 5), or CDS (Eq. 3)."""

Part = Literal["stereo", "planar", "three-phase", "ms"]
"""What an ablation (Fig. 7) leaves out."""


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


EngineChoice = Literal[
    "auto", "eager", "cuda-graphs", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx"
]
"""What computes the frozen networks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptConfig:
    """What the object should be: one modality, or several mixed by weight."""

    text: _Text = None
    """Words, such as "a red mug"."""
    image: _File = None
    """A picture of one object: PNG, JPEG, WebP, BMP, TIFF or GIF; an alpha channel is its mask."""
    audio: _File = None
    """A sound: WAV, FLAC, OGG or MP3; its first channel is used."""
    depth: _File = None
    """A depth map: PNG or TIFF of 8 or 16 bits, or a NumPy .npy file; 0 means not measured."""
    depth_kind: Literal["depth", "disparity"] = "depth"
    """What --depth holds: `depth` grows with the distance, `disparity` shrinks with it."""
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
        for modality in MODALITIES:
            self._check_weight(modality)
        if self.depth is None and self.depth_kind != "depth":
            raise ValueError("--depth-kind is given without --depth: leave it out or name a file")

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

    def given(self) -> tuple[Modality, ...]:
        """The modalities of this prompt, in the order of `MODALITIES`."""
        return tuple(modality for modality in MODALITIES if getattr(self, modality) is not None)

    def weight(self, modality: Modality) -> float:
        """The weight of one modality in the mix, as it was given (not normalised)."""
        weight: float = getattr(self, f"{modality}_weight")
        return weight


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateConfig:
    """Make one textured mesh from one prompt."""

    prompt: Annotated[PromptConfig, tyro.conf.OmitArgPrefixes]
    """What the object should be."""
    out: Path = Path("out/xbind")
    """Folder of the run: mesh, texture, previews, events, checkpoints."""
    seed: int = 0
    """Seed of every random draw; the same seed on the same machine gives the same mesh."""
    preset: str = "default"
    """Named set of the method's numbers, or one of the paper's baselines; a wrong name lists the
    right ones."""
    without: Annotated[str, tyro.conf.arg(metavar="PARTS")] = ""
    """Leave out parts of the method (Fig. 7): `stereo`, `planar`, `three-phase`, `ms`, or several
    with commas between them."""
    phase2_loss: Annotated[Optional[PlanarLoss], tyro.conf.arg(metavar="{sds,cds}")] = None  # noqa: UP045
    """Loss of the 2D prior in Phase II, instead of the method's: `sds` or `cds` (Fig. 6)."""
    from_phase1: Annotated[Optional[Path], tyro.conf.arg(metavar="RUN")] = None  # noqa: UP045
    """Folder of another run of the same prompt and seed: start where its Phase I ended."""
    bundle: str = "mini"
    """The frozen networks: `mini`, which is installed with xbind, or the folder of a bundle."""
    device: DeviceChoice = "auto"
    """Where to compute; `auto` takes CUDA if there is a device, and says which it took. The same
    seed gives another object on another device: each draws its own random numbers."""
    engine: EngineChoice = "auto"
    """What computes the frozen networks: engines, with their gradient inside, or `eager` torch.
    `auto` takes the fastest that is installed: on a CPU OpenVINO, else ONNX Runtime; on CUDA
    TensorRT, TensorRT-RTX, else eager torch as `cuda-graphs`, which starts each step's kernels
    together. Engines are built on first use."""
    precision: Precision = "float32"
    """Of the frozen networks in the engines. A graph that loses too much in half stays in float32,
    and the run says which. bfloat16 is faster where the CPU has it; `auto` then takes OpenVINO."""
    vram: Annotated[Optional[float], tyro.conf.arg(metavar="GIB")] = None  # noqa: UP045
    """GiB of memory that frozen networks and the scene may take together. Where a part of the run
    needs more, it saves: float16, guidance in two passes, views one at a time, one engine loaded at
    a time, in this order, as far as needed; `xbind plan` shows it. By default nothing is saved."""
    threads: int = 1
    """Threads that compute. With the mini bundle two take a fifth to a quarter less time on a
    machine that does nothing else, and lose much where other programs use the cores."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue the run that is in --out, with its prompt and settings: they need not be given."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start anew in a folder that holds a run; that run's files are removed."""

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
        if self.precision != "float32" and self.engine == "eager" and self.device == "cpu":
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
        if self.from_phase1 is not None and self.from_phase1.resolve() == self.out.resolve():
            raise ValueError("--from-phase1 and --out are the same folder: give another --out")
        if self.resume and self.overwrite:
            raise ValueError(
                "--resume continues the run in --out and --overwrite removes it: give one of them"
            )
        for name in ("preset", "bundle"):
            if not getattr(self, name).strip():
                raise ValueError(f"--{name} is empty: leave it out or give a name")
