"""Command lines, paths and prompt files that no run can be made of."""

import io
import os
import random
import shutil
import struct
import wave
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.commands import command, forked, refused_or
from tests.faults.outcomes import Case
from xbind.conditioning.checks import check_files
from xbind.conditioning.imu import load_motion
from xbind.conditioning.video import load_clips
from xbind.config.options import PromptConfig

NUMBERS = ("", "x", "nan", "inf", "-inf", "1e400", "-1", "0x10", "1" * 5000, "१", "1,5", "\udcff")
TEXTS = ("", " ", "\t\n", "\x1b[31mred mug", "mug\x00", "\udcff", "\ud800", "a" * 100_000, "́" * 200,
         "‮gum der a", "a red mug\r\nDone", "%s%n", "--", "-x", "🧸" * 50, "\x07")  # fmt: skip
NAMES = ("", "x", "eager ", "EAGER", "../eager", "\x1b[2J", "a" * 5000, "\udcff", "0")
PATHS = ("", "missing.png", ".", "/", "/dev/zero", "/dev/null", "fifo", "loop", "dangling",
         "closed", "n" * 300, "a/" * 3000, "not\udcfftext.png", "tab\t.png", "esc\x1b[2J.png",
         "/proc/self/mem", "empty.png", "directory.png")  # fmt: skip
OPTIONS = {
    "--seed": NUMBERS, "--threads": (*NUMBERS, "0", "100000", "-5"), "--vram": (*NUMBERS, "0"),
    "--elevation": (*NUMBERS, "91"), "--azimuth": NUMBERS, "--text-weight": (*NUMBERS, "0"),
    "--height": (*NUMBERS, "0", "1e9"), "--preset": NAMES, "--engine": NAMES, "--device": NAMES,
    "--precision": NAMES, "--bundle": (*NAMES, *PATHS), "--prior-3d": NAMES, "--without": NAMES,
    "--prior-2d": NAMES,
    "--phase2-loss": NAMES, "--material": NAMES, "--pivot": NAMES, "--text": TEXTS,
    "--image": PATHS, "--audio": PATHS, "--depth": PATHS, "--video": PATHS, "--thermal": PATHS,
    "--imu": PATHS, "--mask": PATHS, "--from-phase1": PATHS,
    "--out": ("/dev/null", "/proc/x", "fifo", "loop", "n" * 300, "a/" * 3000, "file", "file/out",
              "\udcff"),
}  # fmt: skip
"""Option → values of which none makes a run with the others left out."""


def input_cases(folder: Path, count: int) -> Iterator[Case]:
    """Command lines and changed prompt files, `count` in all."""
    lines = [(option, value) for option, values in OPTIONS.items() for value in values]
    random.Random(0).shuffle(lines)
    for k in range(count):
        if k % 2 == 0 and k // 2 < len(lines):
            option, value = lines[k // 2]
            yield f"input/option-{k}", partial(_line, folder, option, value)
        else:
            kind = list(KINDS)[k % len(KINDS)]
            yield f"input/{kind}-{k}", partial(_file, folder, kind, k)


def _line(folder: Path, option: str, value: str) -> str | None:
    """A command with one odd value must be refused and leave nothing; `--text` may be read."""
    place = _place(folder / "lines")
    before = set(place.iterdir())
    words = ["generate", option, value, "--out", "out", "--preset", "no-such-preset"]
    words += [] if option == "--text" else ["--text", "a red mug"]
    if option in ("--preset", "--out"):  # a prompt file that is missing is refused last
        words = ["generate", option, value, "--image", "missing.png"]
    if option in ("--elevation", "--azimuth", "--mask"):
        words += ["--image", "picture.png"]

    def work() -> None:
        os.chdir(place)
        command(*words)()

    ended = forked(work, limit_s=60)
    fault = ended.fault(1, 2)
    left = set(place.iterdir()) - before
    return f"{option} {value[:40]!r}: {fault or f'left {left}'}" if fault or left else None


def _place(place: Path) -> Path:
    """A folder with the odd files that `PATHS` names."""
    if place.is_dir():
        return place
    place.mkdir(parents=True)
    os.mkfifo(place / "fifo")
    (place / "loop").symlink_to("loop")
    (place / "dangling").symlink_to("nowhere")
    (place / "closed").mkdir(mode=0)
    (place / "directory.png").mkdir()
    (place / "file").write_text("")
    (place / "empty.png").write_text("")
    (place / "picture.png").write_bytes(_picture("PNG"))
    for name in ("tab\t.png", "esc\x1b[2J.png"):
        (place / name).write_bytes(b"no picture")
    return place


def _file(folder: Path, kind: str, k: int) -> str | None:
    """A prompt file with a few changed bytes is refused in words or read as finite numbers."""
    suffix, make, read = KINDS[kind]
    draw, place = random.Random(k), folder / f"input-{k}"
    place.mkdir(exist_ok=True)
    path = place / f"input{suffix}"
    path.write_bytes(_mutated(make(), draw))
    ended = forked(refused_or(lambda: read(path)), limit_s=120)
    fault = ended.fault(0, 1)
    if fault is None and ended.status == 1 and path.name not in ended.err:
        fault = f"the message does not name the file: {ended.err}"
    if fault is None:
        shutil.rmtree(place)  # else it is kept, to be tried again
    return fault


def _mutated(data: bytes, draw: random.Random) -> bytes:
    """A few changes of kinds that decoders are known to trip over."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(changed)) if changed else 0
        match draw.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([draw.randrange(256)])
            case 1:  # sizes and counts
                changed[at : at + 4] = draw.choice([b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff"])
            case 2:
                del changed[at : at + draw.randrange(1, 40)]
            case 3:
                changed[at:at] = changed[at : at + draw.randrange(1, 40)]
            case 4:  # extreme float32 numbers
                value = draw.choice([np.nan, np.inf, -np.inf, 1e-42, 3e38, -1e-42])
                changed[at : at + 4] = struct.pack("<f", value)
    return bytes(changed)


def _picture(form: str, frames: int = 1, mode: str = "RGB") -> bytes:
    pixels = np.full((24, 24, 3), 255, np.uint8)
    pixels[6:18, 6:18] = (200, 30, 30)
    images = [Image.fromarray(np.roll(pixels, k, 1)).convert(mode) for k in range(frames)]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(buffer, form, **more)
    return buffer.getvalue()


def _sound() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.sin(np.arange(8_000) / 9) * 9_000).astype("<i2").tobytes())
    return buffer.getvalue()


def _array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _depth() -> bytes:
    depth = np.full((24, 24), 4, np.float32)
    depth[6:18, 6:18] = 1
    return _array(depth)


def _motion() -> bytes:
    return _array(np.sin(np.arange(6_000, dtype=np.float32)).reshape(1_000, 6))


def _table() -> bytes:
    return "\n".join(",".join(["0.5"] * 6) for _ in range(200)).encode()


def _clips(path: Path) -> None:
    clips = load_clips(path, size=32, frames=2)
    assert bool(clips.isfinite().all()), "not finite"


def _moves(path: Path) -> None:
    motion = load_motion(path, 200)
    assert bool(motion.isfinite().all()), "not finite"


def _check(modality: str) -> Callable[[Path], None]:
    return lambda path: check_files(PromptConfig(**{modality: path}))


KINDS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "png": (".png", lambda: _picture("PNG"), _check("image")),
    "jpeg": (".jpg", lambda: _picture("JPEG"), _check("image")),
    "webp": (".webp", lambda: _picture("WEBP"), _check("image")),
    "tiff": (".tif", lambda: _picture("TIFF", mode="L"), _check("thermal")),
    "wav": (".wav", _sound, _check("audio")),
    "depth": (".npy", _depth, _check("depth")),
    "gif": (".gif", lambda: _picture("GIF", frames=4), _clips),
    "imu": (".npy", _motion, _moves),
    "csv": (".csv", _table, _moves),
}
"""Kind of a prompt file → suffix, a whole file, and what reads it."""
