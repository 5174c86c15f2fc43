"""The work of the public networks' guidance steps, counted on tensors that hold no numbers."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import init

from xbind.bench.ops import Op, OpCounter, parameters_used
from xbind.conditioning.audio import FbankConfig
from xbind.conditioning.depth import DepthConfig
from xbind.frozen import AlignedEncoder, Bundle, Unclip, Zero123
from xbind.graph_feeds import Feeds, trial_feeds
from xbind.graphs import GraphRequest, make_module
from xbind.guidance.noise import NoiseSchedule, alphas_cumprod, scaled_linear_betas
from xbind.models.bundle import BundleManifest
from xbind.models.sd21 import Architecture
from xbind.models.tokenizer import WordTokenizer
from xbind.random_bundle import networks


@dataclass(frozen=True, slots=True)
class StepWork:
    """One call of a graph in float32."""

    ops: tuple[Op, ...]
    activation_bytes: int
    """The most that was alive at a time beside the weights, without any reuse of memory by an
    engine: more than it will need."""

    weight_bytes: int
    """Of the networks that it calls."""

    @property
    def flops(self) -> float:
        """Of the whole graph."""
        return sum(op.flops for op in self.ops)


@dataclass(frozen=True, slots=True)
class CountedBundle:
    """The shapes of a bundle, without its weights."""

    manifest: BundleManifest
    weights: dict[str, int]
    """Network → how many numbers it holds."""
    count: Callable[[GraphRequest], StepWork]
    feeds: Callable[[GraphRequest], Feeds]
    """What a graph is given, as shapes."""


@contextmanager
def counted_bundle(architecture: Architecture) -> Iterator[CountedBundle]:
    """A bundle of these shapes, whose graphs can be counted; nothing is allocated.

    Args:
        architecture: the shapes, such as `xbind.models.sd21.sd21()`.
    """
    with TemporaryDirectory() as folder, FakeTensorMode(allow_non_fake_inputs=True):
        manifest = manifest_of(Path(folder), architecture)
        # it draws again until every number is in range, and there are no numbers
        with patch.object(init, "trunc_normal_", lambda tensor, **_: tensor):
            nets = {name: build() for name, (build, _) in networks(architecture).items()}
        bundle = bundle_of(manifest, architecture, nets)
        found: dict[GraphRequest, StepWork] = {}

        def count(request: GraphRequest) -> StepWork:
            if request not in found:
                found[request] = _count(bundle, request)
            return found[request]

        weights = {k: sum(p.numel() for p in net.parameters()) for k, net in nets.items()}
        yield CountedBundle(manifest, weights, count, lambda request: _feeds(bundle, request))


def _feeds(bundle: Bundle, request: GraphRequest) -> Feeds:
    return trial_feeds(bundle, request, 0.5, torch.Generator().manual_seed(0))


def _count(bundle: Bundle, request: GraphRequest) -> StepWork:
    feeds = _feeds(bundle, request)
    module = make_module(bundle, request.name)
    with torch.no_grad(), parameters_used() as used, OpCounter() as counter:
        module(**feeds)
    weights = sum(p.nbytes for p in used)
    return StepWork(tuple(counter.ops), counter.peak_bytes, weights)


def manifest_of(folder: Path, architecture: Architecture) -> BundleManifest:
    """As much of one as says which graphs a run needs."""
    (folder / "clip").mkdir()
    (folder / "clip/config.json").write_text(json.dumps(dict(architecture.clip)))
    raw = {
        "name": "counted",
        "image_size": dict(architecture.image_size),
        "parts": {"clip": "clip"},
    }
    return BundleManifest(folder, raw)


def bundle_of(manifest: BundleManifest, architecture: Architecture, nets: dict[str, Any]) -> Bundle:
    """Frozen networks of these shapes, by their folders, as a bundle."""
    frozen = {name: net.eval().requires_grad_(False) for name, net in nets.items()}
    betas = scaled_linear_betas()
    d = architecture.bind.embed_dim
    context = torch.zeros(1, 77, architecture.unet2d["cross_attention_dim"])
    unclip = Unclip(
        frozen["unclip/unet"], frozen["unclip/vae"],
        NoiseSchedule(alphas_cumprod(betas), architecture.scheduler2d["prediction_type"]),
        context, torch.zeros(d), torch.ones(d), alphas_cumprod(betas),
        architecture.image_size["unclip"],
    )  # fmt: skip
    zero123 = Zero123(
        frozen["zero123/unet"], frozen["zero123/vae"],
        NoiseSchedule(alphas_cumprod(betas), architecture.scheduler3d["prediction_type"]),
        frozen["zero123/image_encoder"], frozen["zero123/clip_camera_projection"], None,
        architecture.image_size["zero123"],
    )  # fmt: skip
    encoder = AlignedEncoder(
        frozen["bind"], WordTokenizer(("a",), 4), {}, FbankConfig(), DepthConfig(), {"text": 1.0}
    )
    clip_size = architecture.clip["image_size"]
    return Bundle(manifest, encoder, frozen["clip"], clip_size, unclip, zero123, None)
