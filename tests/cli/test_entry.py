"""What the console scripts set before anything is imported."""

from types import SimpleNamespace

import pytest

from xbind.cli import entry


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ({}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ({"GOMP_SPINCOUNT": "1000"}, None),
    ],
)
def test_threads_sleep_while_they_wait_unless_the_user_has_chosen(monkeypatch, given, want):
    environment, seen = dict(given), []
    command = SimpleNamespace(main=lambda: seen.append("main"))

    def import_module(name):
        seen.append((name, environment.get("OMP_WAIT_POLICY")))
        return command

    monkeypatch.setattr(entry.os, "environ", environment)
    monkeypatch.setattr(entry, "import_module", import_module)
    entry.xbind()
    assert seen == [("xbind.cli.main", want), "main"]
