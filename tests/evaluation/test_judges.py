"""The network that guided, as a judge; and the judges of other bundles where they are missing."""

import builtins
import json
import sys
import types
import warnings

import pytest
import torch

from xbind.cli.evaluate import make_panel
from xbind.errors import XBindError
from xbind.evaluation.judges import load_open_clip, make_self_judge
from xbind.mini.judging import around, right_answers, views_of
from xbind.mini.targets import Target
from xbind.mini.world.captions import prompts
from xbind.mini.world.categories import build
from xbind.networks.load import load_bind
from xbind.networks.manifest import BundleManifest, load_manifest

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


def test_judges_are_known_by_the_figures_of_their_bundle():
    names = make_panel(MINI).identity
    assert names[-1] == MINI.identity[:16]
    norm = {"text": 2.0 * MINI.raw["embedding_norm"]["text"]}
    changed = MINI.raw | {"embedding_norm": MINI.raw["embedding_norm"] | norm}
    assert make_panel(BundleManifest(MINI.folder, changed)).identity[:-1] == names[:-1]
    assert make_panel(BundleManifest(MINI.folder, changed)).identity[-1] != names[-1]


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


class QuickGELU(torch.nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class TinyClip(torch.nn.Module):
    """What a judge uses of open_clip's models."""

    def __init__(self, quick_gelu):
        super().__init__()
        self.visual = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
        self.visual.image_size = (2, 2)
        self.visual.image_mean = self.visual.image_std = (0.5, 0.5, 0.5)
        self.act = QuickGELU() if quick_gelu else torch.nn.GELU()

    def encode_image(self, x):
        return self.act(self.visual(x))

    def encode_text(self, ids):
        return self.act(ids.float())


TAGS = {
    "ViT-B-32": {"openai": True, "laion400m_e32": True, "laion2b_s34b_b79k": False},
    "ViT-B-16": {"openai": True},
    "ViT-L-14": {"openai": True},
    "ViT-H-14": {"laion2b_s32b_b79k": False},
}
"""Architecture → weights → whether they were trained with QuickGELU; as in open_clip 3.3."""
TAGS |= {
    f"{name}-quickgelu": {tag: True for tag, quick in tags.items() if quick}
    for name, tags in TAGS.items()
    if any(tags.values())
}


@pytest.fixture
def fake(monkeypatch):
    """open_clip as far as judges use it, strict: the same errors and warning as open_clip 3.3."""
    module, module.builds_quick = types.ModuleType("open_clip"), True

    def create_model(model_name, pretrained=None, *, force_quick_gelu=False):
        if model_name not in TAGS:
            raise RuntimeError(f"Model config for {model_name!r} not found in built-ins.")
        quick = force_quick_gelu or model_name.endswith("-quickgelu")
        trained = TAGS[model_name].get(pretrained)
        if trained is None and not pretrained.endswith(".safetensors"):
            raise RuntimeError(f"{pretrained!r} is not a known tag or valid file path")
        if trained not in (None, quick):
            warnings.warn(
                f"QuickGELU mismatch between final model config (quick_gelu={quick}) "
                f"and pretrained tag '{pretrained}' (quick_gelu={trained}).",
                UserWarning,
                stacklevel=2,
            )
        module.asked = model_name, pretrained
        return TinyClip(quick and module.builds_quick)

    def get_tokenizer(model_name):
        assert model_name in TAGS
        return lambda texts: torch.ones(len(texts), 4, dtype=torch.long)

    module.create_model, module.get_tokenizer = create_model, get_tokenizer
    module.list_pretrained_tags_by_model = lambda model: list(TAGS.get(model, {}))
    monkeypatch.setitem(sys.modules, "open_clip", module)
    return module


def load_fake(model, tmp_path):
    (tmp_path / "w.safetensors").touch()
    model = model.replace("FILE", str(tmp_path / "w.safetensors"))
    return load_open_clip(model, ["a", "b"], allow_download=True)


@pytest.mark.parametrize(
    ("model", "quick", "name"),
    [
        ("ViT-B-32", True, "ViT-B-32"),
        ("ViT-L-14", True, "ViT-L-14"),
        ("ViT-B-32-quickgelu", True, "ViT-B-32-quickgelu"),
        ("ViT-B-32:laion2b_s34b_b79k", False, "ViT-B-32:laion2b_s34b_b79k"),
        ("ViT-B-32:laion400m_e32", True, "ViT-B-32:laion400m_e32"),
        ("ViT-B-32:openai@FILE", True, "ViT-B-32"),
        ("ViT-B-32-quickgelu@FILE", True, "ViT-B-32-quickgelu"),
        ("ViT-B-32:laion2b_s34b_b79k@FILE", False, "ViT-B-32:laion2b_s34b_b79k"),
        ("ViT-H-14@FILE", False, "ViT-H-14"),
    ],
)
def test_the_activation_is_that_of_the_weights(fake, tmp_path, model, quick, name):
    judge = load_fake(model, tmp_path)
    assert isinstance(judge._model.act, QuickGELU) == quick
    assert judge.name == name
    assert fake.asked[1] == (str(tmp_path / "w.safetensors") if "@" in model else
                             model.partition(":")[2] or "openai")  # fmt: skip
    look = judge.look(torch.rand(3, 3, 2, 2))
    assert look.scores.shape == (3, 2)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ViT-B-32@FILE", r"GELU or QuickGELU\.\n.*ViT-B-32:openai@FILE.*laion400m_e32"),
        ("ViT-B-32:laion5b", r"no weights 'laion5b' of 'ViT-B-32'; it knows: openai, laion400m"),
        ("ViT-H-14", r"no weights 'openai' of 'ViT-H-14'; it knows: laion2b"),
        ("ViT-Z-99@FILE", r"cannot load ViT-Z-99@.*\n.*such as ViT-B-32"),
    ],
)
def test_what_could_be_misread_is_refused(fake, tmp_path, model, message):
    with pytest.raises(XBindError, match=message):
        load_fake(model, tmp_path)


def test_the_warning_of_a_mismatch_is_an_error(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("xbind.evaluation.judges._needs_quick_gelu", lambda *_: False)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # pytest's own filter would make it an error anyway
        with pytest.raises(XBindError, match="QuickGELU mismatch"):
            load_fake("ViT-B-32", tmp_path)


def test_a_model_that_was_built_without_quick_gelu_is_refused(fake, tmp_path):
    fake.builds_quick = False
    with pytest.raises(XBindError, match="need QuickGELU, which open_clip did not build"):
        load_fake("ViT-B-32:openai@FILE", tmp_path)
