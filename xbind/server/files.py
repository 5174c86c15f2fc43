"""Which files of a job can be downloaded, and as what.

A name is looked up among the files that are listed here; no path is made from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xbind.batch.jobs import prompt_files
from xbind.batch.queue import Record
from xbind.run.checks import CONFIG, EVENTS, EXPORTS, OUTPUTS, PREVIEWS
from xbind.server.service import Service

MEDIA_TYPES = {
    "glb": "model/gltf-binary", "obj": "text/plain", "mtl": "text/plain", "stl": "model/stl",
    "3mf": "model/3mf", "ply": "application/octet-stream", "usdz": "model/vnd.usdz+zip",
    "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "bmp": "image/bmp", "tiff": "image/tiff", "mp4": "video/mp4", "webm": "video/webm",
    "wav": "audio/wav", "flac": "audio/flac", "ogg": "audio/ogg", "mp3": "audio/mpeg",
    "html": "text/html", "json": "application/json", "jsonl": "application/x-ndjson",
    "npy": "application/octet-stream", "csv": "text/plain",
}  # fmt: skip
"""Suffix → media type; files with other suffixes are not served."""


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file that can be downloaded."""

    name: str
    """Relative to the run, or `inputs/…` for an uploaded one."""
    path: Path
    """Where it lies."""
    size: int
    """In bytes."""

    @property
    def media_type(self) -> str:
        """Of its content, decided by the name alone."""
        return MEDIA_TYPES[self.path.suffix[1:]]


def job_files(service: Service, record: Record) -> dict[str, JobFile]:
    """Returns the files of a job by name; links and what a run does not write are left out."""
    return {file.name: file for file in _files(service, record)}


def _files(service: Service, record: Record) -> Iterator[JobFile]:
    run = service.folder(record)
    for name in (*OUTPUTS, CONFIG, EVENTS):
        yield from _file(name, run / name)
    for name in (PREVIEWS, EXPORTS):
        if (run / name).is_dir() and not (run / name).is_symlink():
            for path in sorted((run / name).iterdir()):
                yield from _file(f"{name}/{path.name}", path)
    for path in prompt_files(record.job.config.prompt).values():
        yield from _file(f"inputs/{path.name}", path)


def _file(name: str, path: Path) -> Iterator[JobFile]:
    """The file of a path, if it is one that is served."""
    if path.name.startswith(".") or path.suffix[1:] not in MEDIA_TYPES or path.is_symlink():
        return
    try:
        if path.is_file():
            yield JobFile(name, path, path.stat().st_size)
    except OSError:  # removed meanwhile
        return
