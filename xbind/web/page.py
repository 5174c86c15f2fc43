"""Renders self-contained HTML pages from the templates of this package.

A page may load nothing from elsewhere: pictures, sounds and meshes are `data:` URIs, scripts and
styles are inline, and its Content Security Policy refuses every other source. The policy names each
script by its SHA-256, so that text of a prompt can never run as one.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

_PACKAGE = files("xbind.web")
_SOURCE_MAP = re.compile(r"\n//# sourceMappingURL=\S+\s*$")
_ENDS_SCRIPT = re.compile(r"</script|<script", re.IGNORECASE)


def render(template: str, values: Mapping[str, Any]) -> str:
    """Renders a template with HTML escaping of every value.

    Args:
        template: file name in `templates/`.
        values: variables of the template; one that is missing is an error.
    """
    import jinja2  # late: only finished runs need it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xbind.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


def inline_script(text: str) -> str:
    """Returns a script as trusted markup, for the inside of a `<script>` element.

    Raises:
        ValueError: it holds a `script` tag, which would end the element.
    """
    from markupsafe import Markup

    if _ENDS_SCRIPT.search(text) or "\r" in text:
        raise ValueError("the script holds a script tag or a carriage return")
    return Markup(text)


def viewer_script() -> str:
    """Returns model-viewer as one ES module, without the name of its source map."""
    text = (_PACKAGE / "vendor" / "model-viewer.min.js").read_text("utf-8")
    return _SOURCE_MAP.sub("\n", text)


def asset(name: str) -> str:
    """Returns the text of a script or style sheet in `templates/`."""
    return (_PACKAGE / "templates" / name).read_text("utf-8")


def content_security_policy(scripts: Sequence[str]) -> str:
    """Returns a policy that allows these inline scripts, inline styles and embedded data alone.

    Args:
        scripts: the exact text inside each `<script>` element.
    """
    hashes = " ".join(f"'sha256-{_base64(hashlib.sha256(s.encode()).digest())}'" for s in scripts)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {hashes} 'wasm-unsafe-eval'",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "media-src data:",
            "connect-src data: blob:",  # model-viewer reads the embedded mesh through fetch
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def data_uri(data: bytes, media_type: str) -> str:
    """Returns bytes as a `data:` URI."""
    return f"data:{media_type};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
