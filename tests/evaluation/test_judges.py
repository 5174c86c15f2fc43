"""The network that guided, as a judge; and the judges of other bundles where they are missing."""

import builtins
import json

import pytest
import torch

from xbind.cli.evaluate import make_panel
from xbind.errors import XBindError
from xbind.evaluation.judges import load_open_clip, make_self_judge
from xbind.frozen import load_bind
from xbind.mini.judging import around, right_answers, views_of
from xbind.mini.targets import Target
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import build
from xbind.models.bundle import BundleManifest, load_manifest

MINI = load_manifest("mini")


def test_the_ms_encoder_knows_real_objects():
    judge = make_self_judge(MINI, load_bind(MINI), prompts())
    mesh = build("house", "blue", torch.Generator().manual_seed(2**41))
    look = judge.look(views_of(mesh, around(12)).image)
    assert look.scores.shape == (12, 136)
    norms = look.features.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(12))
    right = right_answers(Target("text", "", "house", "blue"))[0]
    assert (look.scores.argmax(1) == right).float().mean() > 0.7


def without_judge():
    parts = {role: path for role, path in MINI.raw["parts"].items() if role != "judge"}
    return BundleManifest(MINI.folder, MINI.raw | {"parts": parts})


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (None, "needs a pool of prompts"),
        ("{", "cannot be read"),
        ("[]", "not a list of at least two"),
        ('["a", "a"]', "not a list of at least two"),
        ('["a", 3]', "not a list of at least two"),
        ('{"a": 1}', "not a list of at least two"),
        ('["a red mug", "a blue car"]', "would fetch its weights"),
    ],
)
def test_a_bundle_without_a_judge_needs_a_pool_and_weights(tmp_path, pool, message):
    path = None
    if pool is not None:
        path = tmp_path / "pool.json"
        path.write_text(pool)
    with pytest.raises(XBindError, match=message):
        make_panel(without_judge(), path)


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "open_clip":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    weights = tmp_path / "weights.pt"
    weights.write_text(json.dumps({}))
    with pytest.raises(XBindError, match=r"pip install 'xbind\[judges\]'"):
        load_open_clip(f"ViT-B-32@{weights}", ["a", "b"], allow_download=False)
