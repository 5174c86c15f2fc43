"""Code and settings that pages of docs/ name are there."""

import importlib
import json
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_code_that_the_method_page_names_is_there():
    text = (DOCS / "guide" / "method.md").read_text(encoding="utf-8")
    packages = {p.name for p in Path(importlib.import_module("xbind").__file__).parent.iterdir()}
    names = [
        name for name in re.findall(r"`([a-z_0-9]+(?:\.\w+)+)`", text)
        if name.partition(".")[0] in packages | {"kernels"}
    ]  # fmt: skip
    assert len(names) >= 20
    for name in names:
        module, _, attribute = f"xbind.{name}".rpartition(".")
        try:
            importlib.import_module(f"xbind.{name}")
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), name


def test_the_weights_that_the_method_page_names_are_settings():
    from xbind.config.method import AugmentConfig, CoarseConfig, GuidanceConfig

    text = (DOCS / "guide" / "method.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(w_\w+)`", text))
    fields = {f for c in (AugmentConfig, CoarseConfig, GuidanceConfig) for f in c.__annotations__}
    assert len(names) == 10
    assert names <= fields


def test_the_notebook_is_kept_without_outputs():
    """It is executed when the site is built; what is in the file would be somebody's old result."""
    notebook = json.loads((DOCS / "notebooks" / "quickstart.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    assert "smoke" in "".join(cells[0]["source"])
