"""Switches off the usage reports of the libraries that xbind runs on.

ONNX Runtime, OpenVINO and the Hugging Face libraries send usage data by default, and the first two
keep an identifier of the machine in the home folder.
"""

import os
import sys
from importlib import import_module
from types import ModuleType

SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Environment variable → value that switches reports off; read when a library is imported."""
_OPENVINO_REPORTS = "openvino_telemetry"


def switch_off() -> None:
    """Set `SWITCHES` for this process and its children; a value set by the user stays."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)


def import_openvino() -> ModuleType:
    """Import OpenVINO without its usage reports, which no environment variable switches off.

    Its import sends an event through the package `openvino_telemetry`, and through a stub that does
    nothing where that package is missing: so it is hidden during the import.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]
    others = modules.get(_OPENVINO_REPORTS)
    modules[_OPENVINO_REPORTS] = None  # makes its import fail
    try:
        return import_module("openvino")
    finally:
        del modules[_OPENVINO_REPORTS]
        if others is not None:
            modules[_OPENVINO_REPORTS] = others
