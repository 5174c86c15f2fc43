"""From a form to a job."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from xbind.batch.queue import Record
from xbind.config.options import MODALITIES
from xbind.config.presets import PRESETS
from xbind.errors import XBindError
from xbind.files import disk_errors
from xbind.run.arguments import make_config, make_prompt
from xbind.run.preflight import check_generate
from xbind.server.errors import BadPrompt, ServerError
from xbind.server.modalities import check_modalities
from xbind.server.service import Service
from xbind.server.uploads import store_upload

INCOMING = "incoming"
"""Folder in that of the server for uploads that are being checked."""


def submit(service: Service, values: Mapping[str, Any], files: Mapping[str, IO[bytes]]) -> Record:
    """Enter a job for a prompt; the same one is not made twice.

    Args:
        service: of the server.
        values: `seed`, `preset`, `review`, and fields of a `PromptConfig` that are no files.
        files: field of a `PromptConfig` → what was uploaded.

    Raises:
        BadPrompt: the prompt, seed or preset cannot be used.
        WrongType: a file is of the wrong kind.
        TooMany, Stopped: as of `Service.check_room`.
        DiskError: the disk is full.
    """
    service.check_room()
    check_preset(values["preset"])
    check_modalities(service.settings.bundle, set(files))
    incoming = service.queue.folder / INCOMING
    with disk_errors(incoming):
        incoming.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=incoming))
    try:
        stored = {name: store_upload(name, file, folder) for name, file in files.items()}
        return _enter(service, {**values, **stored}, folder)
    except ServerError:
        raise
    except XBindError as error:
        raise BadPrompt(str(error).replace(f"{folder}/", "")) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_incoming(service: Service) -> None:
    """Remove uploads that a killed server was checking."""
    shutil.rmtree(service.queue.folder / INCOMING, ignore_errors=True)


def check_preset(name: str) -> None:
    """Refuse what is no preset.

    Raises:
        BadPrompt: lists the presets.
    """
    if name not in PRESETS:
        raise BadPrompt(f"There is no preset {name[:64]!r}.\nChoose one of {', '.join(PRESETS)}.")


def _enter(service: Service, values: Mapping[str, Any], folder: Path) -> Record:
    settings = service.settings
    weights = {f"{modality}_weight": modality for modality in MODALITIES}
    mix = {weights[name]: value for name, value in values.items() if name in weights}
    prompt = {name: value for name, value in values.items() if name not in weights}
    config = make_config(
        {
            "prompt": make_prompt(prompt, mix, folder),
            "seed": values["seed"],
            "preset": values["preset"],
            "reference_only": values["review"],
            "out": folder / "run",
            "bundle": settings.bundle,
            "device": settings.device,
            "engine": settings.engine,
            "precision": settings.precision,
            "vram": settings.vram,
            "threads": settings.threads,
        }
    )
    check_generate(config)
    return service.queue.submit(config)
