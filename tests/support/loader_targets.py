"""What is fuzzed: every loader of files from outside, with its seeds and what it must do.

A loader returns finite numbers of the documented shape, or raises an `XBindError` that names the
file. Anything else is a fault: another exception, NaN, a crash, minutes, gigabytes.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import loader_seeds as seeds
import torch
from torch import Tensor

from xbind.conditioning.audio import fbank_clips, load_audio
from xbind.conditioning.depth import load_depth, normalise_depth
from xbind.conditioning.depth_background import cut_near
from xbind.conditioning.foreground import find_foreground
from xbind.conditioning.image import load_image, to_square
from xbind.conditioning.imu import load_motion
from xbind.conditioning.thermal import load_thermal
from xbind.conditioning.video import load_clips
from xbind.errors import XBindError
from xbind.importing.checkpoint import read_checkpoint
from xbind.models.inputs import DepthConfig
from xbind.models.tokenizer import BpeTokenizer
from xbind.networks.load import load_bind, load_clip, load_convnet
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.scene.mesh.textured import read_glb

CORPUS = Path(__file__).parent.parent / "faults" / "fuzz" / "corpus"


class Fault(AssertionError):
    """A loader returned what no encoder can read."""


@dataclass(frozen=True)
class Target:
    """One loader."""

    suffix: str
    """Of the file's name."""
    load: Callable[[Path], None]
    """Reads a file; raises `Fault` for a result that is not finite."""
    seeds: Callable[[], Mapping[str, bytes]]
    """Name → a whole file."""
    names_file: bool = True
    """Whether every refusal names the file."""

    def check(self, data: bytes, folder: Path) -> str | None:
        """The refusal of a file with this content; None if it is read."""
        path = folder / f"input{self.suffix}"
        path.write_bytes(data)
        try:
            self.load(path)
        except XBindError as error:
            if self.names_file and "input" not in str(error):
                raise Fault(f"the message does not name the file: {error}") from error
            return str(error)
        return None


def finite(*tensors: Tensor) -> None:
    for x in tensors:
        if not x.numel() or not bool(torch.isfinite(x).all()):
            raise Fault(f"not finite: shape {list(x.shape)}")


def _image(path: Path) -> None:
    picture = load_image(path)
    finite(picture.rgb)
    found = find_foreground(picture.rgb, picture.alpha, str(path))
    square = to_square(picture.rgb, found.mask, 32)
    finite(square.rgb, square.mask)


def _depth(path: Path) -> None:
    for kind in ("depth", "disparity"):
        inverse = load_depth(path, kind)
        finite(inverse)
        near, _ = cut_near(inverse)
        finite(near, normalise_depth(near), normalise_depth(near, DepthConfig(scale="relative")))


def _audio(path: Path) -> None:
    sound = load_audio(path)
    finite(sound.waveform, fbank_clips(sound.waveform))
    sound.notes()


def _checkpoint(path: Path) -> None:
    state = read_checkpoint(path)
    for name in state:
        if not isinstance(state[name], Tensor):
            raise Fault(f"{name} is no tensor")


def _glb(path: Path) -> None:
    mesh = read_glb(path)
    finite(mesh.mesh.vertices, mesh.uv, mesh.texture)


def _manifest(path: Path) -> None:
    path.rename(path.with_name("bundle.json"))
    manifest = load_manifest(path.parent)
    for role in manifest.raw["parts"]:
        manifest.path_of(role)
    described = [manifest.name, manifest.digest, manifest.figures, list(manifest.priors_3d)]
    described += [dict(manifest.priors_2d), manifest.chosen_2d]
    json.dumps(described, allow_nan=False).encode()
    manifest.with_priors(None, None)


def _bind(path: Path) -> None:
    """One of the JSON files of the aligned encoder, chosen by what is in it."""
    with component(path, "bind", _which(path)) as manifest:
        load_bind(manifest)


def _which(path: Path) -> str:
    data = path.read_bytes()
    for name, word in (("tokenizer.json", b'"vocabulary"'), ("fbank.json", b'"mels"'),
                       ("depth.json", b'"baseline')):  # fmt: skip
        if word in data:
            return name
    return "config.json"


def _network(path: Path) -> None:
    """A configuration of CLIP or of the pose network."""
    role = "view" if b'"widths"' in path.read_bytes() else "clip"
    with component(path, role, "config.json") as manifest:
        (load_convnet if role == "view" else load_clip)(manifest.part(role))


@contextmanager
def component(path: Path, role: str, name: str) -> Iterator[BundleManifest]:
    """The mini bundle with one file replaced; the others are links."""
    with tempfile.TemporaryDirectory(prefix="input") as made:
        folder = Path(made)
        for source in seeds.MINI.iterdir():
            if source.name != role:
                (folder / source.name).symlink_to(source)
        (folder / role).mkdir()
        for source in (seeds.MINI / role).iterdir():
            if source.name != name:
                (folder / role / source.name).symlink_to(source)
        shutil.copyfile(path, folder / role / name)
        yield load_manifest(folder)


def _tables(path: Path) -> None:
    """`vocab.json`, a zero byte, `merges.txt`."""
    vocab, _, merges = path.read_bytes().partition(b"\0")
    files = [path.with_name(f"input.{name}") for name in ("vocab.json", "merges.txt")]
    for file, content in zip(files, (vocab, merges), strict=True):
        file.write_bytes(content)
    tokens = BpeTokenizer(*files, 77).tokens("a red mug")
    if not all(isinstance(token, int) for token in tokens):
        raise Fault("tokens are not numbers")


def _clips(path: Path) -> None:
    finite(load_clips(path, size=16, frames=2))


def _motion(path: Path) -> None:
    finite(load_motion(path, 200))


TARGETS: dict[str, Target] = {
    "image": Target("", _image, seeds.pictures),
    "thermal": Target("", lambda path: finite(load_thermal(path)), seeds.pictures),
    "animation": Target(".gif", _clips, seeds.animations),
    "video": Target(".mp4", _clips, seeds.videos),
    "audio": Target(".wav", _audio, seeds.sounds),
    "depth_npy": Target(".npy", _depth, seeds.arrays),
    "depth_picture": Target(".png", _depth, seeds.depth_pictures),
    "imu_npy": Target(".npy", _motion, lambda: seeds.motions(text=False)),
    "imu_csv": Target(".csv", _motion, lambda: seeds.motions(text=True)),
    "safetensors": Target(".safetensors", _checkpoint, seeds.states),
    "pickle": Target(".ckpt", _checkpoint, seeds.pickles),
    "glb": Target(".glb", _glb, seeds.meshes),
    "manifest": Target("", _manifest, seeds.manifests, names_file=False),
    "bind": Target("", _bind, seeds.configs(
        "bind/config.json", "bind/tokenizer.json", "bind/fbank.json", "bind/depth.json"
    )),
    "network": Target("", _network, seeds.configs("clip/config.json", "view/config.json")),
    "bpe_tables": Target("", _tables, seeds.vocabularies),
}  # fmt: skip
"""Name → loader."""
