"""The start of a server: its token, and what it prints."""

import stat

import pytest

from xbind.config.serve import ServeConfig
from xbind.server.serve import ServeError, greeting, token_of


def test_no_token_is_asked_for_on_this_machine(tmp_path):
    assert token_of(ServeConfig(out=tmp_path)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_made_once_for_its_owner(tmp_path):
    settings = ServeConfig(out=tmp_path, host="0.0.0.0")
    token = token_of(settings)
    assert len(token) >= 40
    assert token_of(settings) == token
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    told = greeting(settings, 8000, token)
    assert f":8000/#token={token}" in told
    assert "not encrypted" in told


def test_a_given_token_is_used_on_this_machine_too(tmp_path):
    path = tmp_path / "given"
    path.write_text("0123456789abcdef\n")
    assert token_of(ServeConfig(out=tmp_path, token_file=path)) == "0123456789abcdef"


@pytest.mark.parametrize("text", ["", "short", "0123456789 abcdef", "0123456789;abcdef", "é" * 20])
def test_tokens_that_are_refused(tmp_path, text):
    path = tmp_path / "given"
    path.write_text(text)
    with pytest.raises(ServeError, match="token"):
        token_of(ServeConfig(out=tmp_path, token_file=path))


def test_a_missing_token_file_is_refused(tmp_path):
    with pytest.raises(ServeError, match="cannot be read"):
        token_of(ServeConfig(out=tmp_path, token_file=tmp_path / "none"))


def test_an_address_of_ipv6_is_bracketed():
    assert "http://[::1]:80/" in greeting(ServeConfig(host="::1"), 80, None)
