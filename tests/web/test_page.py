"""Pages: escaping, the policy's hashes, and the vendored viewer."""

import base64
import hashlib
import re
from importlib.resources import files

import jinja2
import pytest

from xbind.web.page import content_security_policy, data_uri, inline_script, render, viewer_script

VENDOR = files("xbind.web") / "vendor"


def test_the_viewer_is_the_file_that_its_licence_note_names():
    note = (VENDOR / "LICENSES.txt").read_text("utf-8")
    (digest,) = re.findall(r"SHA-256 ([0-9a-f]{64})", note)
    data = (VENDOR / "model-viewer.min.js").read_bytes()
    assert hashlib.sha256(data).hexdigest() == digest
    for word in ("Apache License", "MIT License", "BSD 3-Clause", "three", "lit", "gainmap"):
        assert word in note, word


def test_the_viewer_names_no_source_map():
    assert "sourceMappingURL" in (VENDOR / "model-viewer.min.js").read_text("utf-8")
    assert "sourceMappingURL" not in viewer_script()
    inline_script(viewer_script())


def test_the_policy_names_each_script_by_its_hash():
    policy = content_security_policy(["one()", "zwei('ü')"])
    for script in ("one()", "zwei('ü')"):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "script-src 'sha256-" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


@pytest.mark.parametrize("text", ["a</script >b", "a</SCRIPT>", "'<script'", "a\rb"])
def test_scripts_that_would_end_their_element_are_refused(text):
    with pytest.raises(ValueError, match="script tag"):
        inline_script(text)


def test_a_variable_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render("report.html", {})


def test_data_uris_hold_their_bytes():
    uri = data_uri(bytes(range(256)), "image/png")
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body) == bytes(range(256))
