"""Reading and changing the files of a run in tests."""

import json

from xbind.config.options import GenerateConfig, PromptConfig
from xbind.config.variants import method_named
from xbind.networks.manifest import load_manifest
from xbind.run.events import read_events
from xbind.run.json_files import to_json
from xbind.run.settings import run_settings
from xbind.run.versions import versions

CONFIG = {"prompt": {"text": "a mug"}, "seed": 3, "preset": "smoke", "method": {}}
"""The least that `config.json` of a run holds."""


def whole_config(text="a mug"):
    """All that `config.json` of a run on the CPU holds when it is started."""
    config = GenerateConfig(prompt=PromptConfig(text=text), preset="smoke")
    method = method_named(config.preset, (), None)
    settings = run_settings(config, method, load_manifest("mini"), "cpu")
    settings |= {"precision": "float32"}
    return settings | {"engine": "eager", "files": {}, "versions": versions("eager")}


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
