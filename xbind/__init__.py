"""xbind: a prompt of any modality to a textured 3D mesh.

The names of `xbind.api` are attributes of this package, imported on first use:

    pipe = xbind.load("mini")
    run = pipe("a red mug", seed=0)
"""

from typing import TYPE_CHECKING

from xbind.system.telemetry import switch_off

if TYPE_CHECKING:
    from xbind.api import Pipeline, generate, load, resume
    from xbind.api import open as open  # not in __all__: `import *` would hide the built-in
    from xbind.config.options import GenerateConfig, PromptConfig
    from xbind.errors import XBindError
    from xbind.run.result import Run

__version__ = "0.2.0"

switch_off()  # here, since the libraries read their switches when they are imported

_MODULES = {
    "GenerateConfig": "xbind.config.options", "Pipeline": "xbind.api",
    "PromptConfig": "xbind.config.options", "Run": "xbind.run.result", "XBindError": "xbind.errors",
    "generate": "xbind.api", "load": "xbind.api", "open": "xbind.api", "resume": "xbind.api",
}  # fmt: skip
"""Public name → the module that has it."""

__all__ = [
    "GenerateConfig",
    "Pipeline",
    "PromptConfig",
    "Run",
    "XBindError",
    "__version__",
    "generate",
    "load",
    "resume",
]


def __getattr__(name: str) -> object:
    """Import a public name on its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
