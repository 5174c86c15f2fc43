"""Where a source is found, and that nothing is fetched unasked."""

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from xbind.importing.hub import SourceError, locate


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that knows one repository, and what it was asked."""
    asked = []

    def snapshot_download(name, *, allow_patterns, local_files_only):
        asked.append((name, allow_patterns, local_files_only))
        if local_files_only or name != "owner/there":
            raise LocalEntryNotFoundError("no such thing\nand a traceback")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_path_is_used_as_it_is(hub, tmp_path):
    found = locate(str(tmp_path), "--unclip", wanted=(), allow_download=True)
    assert found == tmp_path
    assert hub == []


def test_an_id_is_fetched_only_when_that_is_allowed(hub, tmp_path):
    with pytest.raises(SourceError, match=r"not on this machine.\nFetch it with --allow-download"):
        locate("owner/there", "--unclip", wanted=("unet/*",), allow_download=False)
    assert hub == [("owner/there", ["unet/*"], True)]
    found = locate("owner/there", "--unclip", wanted=("unet/*",), allow_download=True)
    assert found == tmp_path


def test_a_repository_that_is_gone_says_what_to_do(hub):
    with pytest.raises(SourceError, match=r"\(no such thing\)[\s\S]*look for a mirror"):
        locate("owner/gone", "--zero123", wanted=(), allow_download=True)


@pytest.mark.parametrize("source", ["nope", "a/b/c", "./none/here.ckpt"])
def test_what_is_neither_path_nor_id(hub, source):
    with pytest.raises(SourceError, match=r"--clip .* does not exist"):
        locate(source, "--clip", wanted=(), allow_download=True)
    assert hub == []
