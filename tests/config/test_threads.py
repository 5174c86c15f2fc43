"""`--threads auto` takes the cores that are idle."""

import os

import pytest

from xbind.cli.main import parse
from xbind.config.threads import free_threads


@pytest.mark.parametrize(
    ("cores", "busy", "want"),
    [(2, 0.1, 2), (2, 0.4, 2), (2, 0.6, 1), (2, 7.5, 1), (1, 0.0, 1), (16, 3.0, 2), (16, 15.2, 1)],
)
def test_as_many_as_are_idle(monkeypatch, cores, busy, want):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(os, "getloadavg", lambda: (busy, 0.0, 0.0), raising=False)
    assert free_threads() == want


def test_a_system_without_a_load_average_is_taken_to_be_idle(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert free_threads() == 2
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert free_threads() == 1


@pytest.mark.parametrize("command", ["generate a-mug", "eval x", "eval run --out x"])
def test_the_command_line_takes_auto_or_a_number(monkeypatch, command):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    for busy, want in ((0.0, 2), (2.0, 1)):
        monkeypatch.setattr(os, "getloadavg", lambda busy=busy: (busy, 0.0, 0.0), raising=False)
        assert parse([*command.split(), "--threads", "auto"]).threads == want
    assert parse([*command.split(), "--threads", "3"]).threads == 3
    assert parse(command.split()).threads == 1


def test_other_words_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["generate", "a-mug", "--threads", "two"])
    assert stop.value.code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "--threads wants a whole number or auto, got 'two'" in said
