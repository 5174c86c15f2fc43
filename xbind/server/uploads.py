"""Uploaded files: what they are by their content, and whether their headers claim too much.

Names and media types that a client gives are not used: a file is named by its modality and by what
its first bytes say it is. A worker decodes the whole file, with the limits of `xbind.conditioning`.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from xbind.conditioning.errors import PromptError
from xbind.files import disk_errors
from xbind.server.errors import BadPrompt, WrongType
from xbind.system.untrusted import guarded

PICTURES = ("png", "jpg", "webp", "bmp", "tiff", "gif")
SUFFIXES: dict[str, tuple[str, ...]] = {
    "image": PICTURES,
    "mask": PICTURES,
    "thermal": PICTURES,
    "audio": ("wav", "flac", "ogg", "mp3"),
    "depth": ("png", "tiff", "npy"),
    "video": ("gif", "webp", "png", "mp4", "webm"),
    "imu": ("npy", "csv"),
}
"""Modality, or `mask` → the kinds of file that it is read from."""
_HEAD = 512
"""Bytes by which a file is recognised."""
_PIECE = 2**20
"""Bytes that are copied at a time."""
_SILENCED = threading.Lock()
"""Held around Pillow, since its messages are silenced for the whole process."""


def kind_of(head: bytes) -> str | None:
    """Returns the kind of a file from its first bytes, as a suffix; None if it is not known."""
    for suffix, fits in _SIGNATURES:
        if fits(head):
            return suffix
    return None


def store_upload(name: str, file: IO[bytes], folder: Path) -> Path:
    """Copies an uploaded file into a folder, under a name of ours.

    Args:
        name: modality or `mask`.
        file: what was uploaded, at its start.
        folder: where it goes.

    Raises:
        WrongType: it is of a kind that this modality is not read from, or empty.
        BadPrompt: its header claims a size that is not read.
        DiskError: it cannot be written.
    """
    head = file.read(_HEAD)
    kind = kind_of(head)
    if kind not in SUFFIXES[name]:
        found = "is empty" if not head else f"is {f'a {kind} file' if kind else 'of another kind'}"
        raise WrongType(
            f"The file for {name} {found}.\nGive one of these: {', '.join(SUFFIXES[name])}."
        )
    path = folder / f"{name}.{kind}"
    with disk_errors(path), path.open("xb") as target:
        target.write(head)
        while piece := file.read(_PIECE):
            target.write(piece)
    _check_header(name, kind, path)
    return path


def _check_header(name: str, kind: str, path: Path) -> None:
    """Refuse a file whose header claims more than it may hold, before anything is decoded."""
    if kind == "npy":
        _check_array(name, path)
    elif kind in PICTURES:
        from xbind.conditioning.picture_files import opened

        try:
            with _SILENCED, opened(path, f"--{name}"):
                pass
        except PromptError as error:
            words = str(error).replace(f"--{name} {path}", f"The file for {name}")
            raise BadPrompt(words) from error


def _check_array(name: str, path: Path) -> None:
    """Refuse an array whose header claims another size than the file has."""
    import numpy as np
    from numpy.lib import format as npy

    def refuse(why: str) -> BadPrompt:
        return BadPrompt(
            f"The file for {name} cannot be read as a NumPy array ({why}).\n"
            f"Write it with numpy.save(…, allow_pickle=False)."
        )

    with path.open("rb") as file, guarded(refuse):
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise refuse("it holds Python objects")
        claimed = dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
        if claimed != path.stat().st_size - file.tell():
            raise refuse(f"its header claims {claimed} bytes, which are not there")


def _is_csv(head: bytes) -> bool:
    """Whether the first bytes are numbers in text."""
    return bool(head) and all(byte in b"0123456789+-.,;eEnaN \t\r\n#" for byte in head)


_Test = Callable[[bytes], bool]
_SIGNATURES: tuple[tuple[str, _Test], ...] = (
    ("png", lambda h: h.startswith(b"\x89PNG\r\n\x1a\n")),
    ("jpg", lambda h: h.startswith(b"\xff\xd8\xff")),
    ("gif", lambda h: h.startswith((b"GIF87a", b"GIF89a"))),
    ("webp", lambda h: h[:4] == b"RIFF" and h[8:12] == b"WEBP"),
    ("wav", lambda h: h[:4] == b"RIFF" and h[8:12] == b"WAVE"),
    ("tiff", lambda h: h.startswith((b"II*\0", b"MM\0*"))),
    ("bmp", lambda h: h.startswith(b"BM")),
    ("flac", lambda h: h.startswith(b"fLaC")),
    ("ogg", lambda h: h.startswith(b"OggS")),
    ("npy", lambda h: h.startswith(b"\x93NUMPY")),
    ("mp4", lambda h: h[4:8] == b"ftyp"),
    ("webm", lambda h: h.startswith(b"\x1a\x45\xdf\xa3")),
    ("mp3", lambda h: h.startswith(b"ID3") or (h[:1] == b"\xff" and h[1:2] >= b"\xe0")),
    ("csv", _is_csv),
)
"""Kind of file → test of its first bytes; the first that fits counts."""
