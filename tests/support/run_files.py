"""Reading and changing the files of a run in tests."""

import json

from xbind.run.events import read_events
from xbind.run.json_files import to_json

CONFIG = {"prompt": {"text": "a mug"}, "seed": 3, "preset": "smoke", "method": {}}
"""The least that `config.json` of a run holds."""


def config_of(out):
    """`config.json` of a run, without its checksum."""
    held = json.loads((out / "config.json").read_text())
    del held["checksum"]
    return held


def write_config(out, held):
    """Write `config.json` with a checksum that fits."""
    (out / "config.json").write_bytes(to_json(held))


def events_of(out):
    """All records of a run, which are whole."""
    log = read_events(out / "events.jsonl")
    assert log.damage is None
    return log.records
