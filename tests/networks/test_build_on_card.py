"""Engines that were built without a GPU, on the first GPU that loads them; the GPU is pretended."""

import pytest
import torch

from xbind.config.savings import Savings
from xbind.engine.eager import EagerBackend
from xbind.engine.errors import EngineRefused, ParityError
from xbind.engine.store import EngineStore, cards_passed
from xbind.engine.trt import PLAN
from xbind.export.errors import BuildRefused
from xbind.networks import build as building
from xbind.networks import select
from xbind.networks.build import build, compare_with_torch
from xbind.networks.graphs import GraphRequest, make_module
from xbind.networks.load import load_bundle
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import Part
from xbind.networks.select import compile_run

REQUEST = GraphRequest("clip_image", 1, 64)
TARGETS = ("sm86", "sm89")
CPU = torch.device("cpu")


class Card:
    """The GPU of this machine: its name, what its engines get wrong, and what was asked of it."""

    def __init__(self):
        self.name, self.error, self.opened, self.built = None, 0.0, 0, 0
        self.refuses = None


@pytest.fixture
def bundle():
    return load_bundle(load_manifest("mini"))


@pytest.fixture
def card(monkeypatch, bundle):
    found = Card()

    def write(graph, folder, settings):
        found.built += 1
        if found.refuses is not None:
            raise BuildRefused(found.refuses)
        (folder / PLAN).write_bytes(b"plan")

    def opened(entry, **_):
        found.opened += 1
        return Wrong(entry.spec, make_module(bundle, REQUEST.name), found)

    def card_of(backend, target):
        return found.name if backend == "tensorrt-rtx" else None

    monkeypatch.setattr(building, "resolve", lambda path: write)
    monkeypatch.setattr(building, "open_backend", opened)
    monkeypatch.setattr(building, "card_of", card_of)
    monkeypatch.setattr(select, "card_of", card_of)
    monkeypatch.setattr(building, "_where", lambda card: CPU)
    return found


class Wrong(EagerBackend):
    """Eager torch, off by as much as the card says."""

    def __init__(self, spec, module, card):
        super().__init__(spec, module)
        self.card = card

    def _run(self, feeds):
        return {k: x * (1 + self.card.error) for k, x in super()._run(feeds).items()}


def made(folder, bundle):
    return build(EngineStore(folder), bundle, REQUEST, "tensorrt-rtx", targets=TARGETS)


def test_it_is_compared_once_on_each_card(card, bundle, tmp_path):
    assert "not the engine" in made(tmp_path, bundle).notes["compared"]
    assert (card.built, card.opened) == (1, 0)
    for name, opened in (("sm86 RTX 3090", 1), ("sm86 A40", 2), ("sm86 RTX 3090", 2)):
        card.name = name
        entry = made(tmp_path, bundle)
        assert (card.built, card.opened) == (1, opened)
    assert cards_passed(entry) == ["sm86 A40", "sm86 RTX 3090"]
    entry.verify()


def test_where_it_is_built_on_the_card_it_is_compared_once(card, bundle, tmp_path):
    card.name = "sm89 RTX 4090"
    assert made(tmp_path, bundle).notes["compared"] == "tensorrt-rtx"
    assert cards_passed(made(tmp_path, bundle)) == ["sm89 RTX 4090"]
    assert (card.built, card.opened) == (1, 1)


def test_a_card_on_which_it_is_wrong_refuses_it_and_others_do_not(card, bundle, tmp_path):
    made(tmp_path, bundle)
    card.name, card.error = "sm86 RTX 3090", 0.05
    with pytest.raises(ParityError, match=r"tensorrt-rtx \(sm86 RTX 3090\) is not what float32"):
        made(tmp_path, bundle)
    assert card.opened == 1
    with pytest.raises(EngineRefused, match="sm86 RTX 3090"):  # remembered: not loaded again
        made(tmp_path, bundle)
    assert card.opened == 1
    card.name, card.error = "sm89 RTX 4090", 0.0
    assert cards_passed(made(tmp_path, bundle)) == ["sm89 RTX 4090"]


def test_what_cannot_be_built_is_tried_once(card, bundle, tmp_path):
    card.refuses = "no implementation of Conv_3"
    for _ in range(2):
        with pytest.raises(EngineRefused, match="no implementation of Conv_3"):
            made(tmp_path, bundle)
    assert card.built == 1
    EngineStore(tmp_path).gc(lambda entry: True)
    with pytest.raises(BuildRefused):
        made(tmp_path, bundle)
    assert card.built == 2


def test_a_run_compares_what_was_built_elsewhere_and_takes_float32_where_half_fails(
    card, bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr(select, "portable_targets", lambda backend: TARGETS)
    store = EngineStore(tmp_path)
    for precision in ("float16", "float32"):
        build(store, bundle, REQUEST, "tensorrt-rtx", targets=TARGETS, precision=precision)
    monkeypatch.setattr(select, "check_available", lambda backend, precisions: None)
    monkeypatch.setattr(type(bundle), "to", lambda self, device, guiding=True: self)
    card.name, card.error = "sm86 RTX 3090", 0.05  # float16 may be off by 0.03

    def ran(said):
        parts = {"coarse": Part([REQUEST], Savings(precision="float16"))}
        return compile_run(
            "tensorrt-rtx", bundle, parts, store, threads=1, report=said.append,
            device=torch.device("cuda"),
        )  # fmt: skip

    exact = building.compare_on_card

    def compared(entry, bundle, request, precision, name):
        card.error = 0.05 if precision == "float16" else 0.0
        exact(entry, bundle, request, precision, name)

    monkeypatch.setattr(building, "compare_on_card", compared)
    said = []
    ran(said)
    assert said[0] == "comparing 1 of 1 engines with torch on this GPU, once"
    assert any(line.startswith("float32 instead of float16") for line in said)
    assert card.built == 2
    opened, said = card.opened, []
    ran(said)  # both verdicts are kept
    assert card.opened == opened
    assert not any(line.startswith("comparing") for line in said)


def test_the_reference_computes_without_tf32_and_where_it_is_told(bundle, monkeypatch):
    seen, module = [], make_module(bundle, REQUEST.name)
    moved = []
    to = torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, device: moved.append(str(device)) or to(self, CPU)
    )
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)
    candidate = EagerBackend(spec_of(bundle), module)
    run = candidate.run

    def watched(feeds):
        seen.append(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)
        return run(feeds)

    monkeypatch.setattr(candidate, "run", watched)
    before = torch.backends.cudnn.allow_tf32
    compare_with_torch(bundle, REQUEST, module, candidate, torch.device("cuda"))
    assert seen == [False] * 3
    assert moved == ["cuda", "cpu"]
    assert torch.backends.cudnn.allow_tf32 == before


def spec_of(bundle):
    return building.export(bundle, REQUEST).spec
