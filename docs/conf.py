"""Sphinx configuration; `make docs` builds the site. Nothing in it comes from another host."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import xbind  # noqa: E402

project = "xbind"
copyright = "the xbind maintainers, Apache-2.0"
version = release = xbind.__version__

extensions = [
    *("myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    *("docstrings", "mathml", "offline", "pages"),  # in _ext/
]
exclude_patterns = ["README.md"]  # index.md includes it

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"xbind {version}"
html_copy_source = False
html_show_sourcelink = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

# The notebook is executed at every build: an error in a cell is an error of the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 600  # seconds for a cell
nb_merge_streams = True
nb_ipywidgets_js = {}  # else pages with widgets load scripts from other hosts

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_use_type_comments = False
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
default_role = "code"  # docstrings mark code with single backticks
