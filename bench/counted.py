"""The work of the public networks' guidance steps, counted on tensors that hold no numbers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import init

from xbind.bench.ops import Op, OpCounter, parameters_used
from xbind.diffusion.schedule import NoiseSchedule, alphas_cumprod, scaled_linear_betas
from xbind.importing.architectures import Architecture
from xbind.importing.random_weights import networks, write_shapes
from xbind.models.inputs import DepthConfig, FbankConfig
from xbind.models.tokenizer import WordTokenizer
from xbind.networks.frozen import AlignedEncoder, Bundle, Unclip, Zero123
from xbind.networks.graphs import GraphRequest, make_module
from xbind.networks.manifest import BundleManifest
from xbind.networks.sample_inputs import Feeds, trial_feeds


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
    count: Callable[[GraphRequest], StepWork]
    feeds: Callable[[GraphRequest], Feeds]
    """What a graph is given, as shapes."""

    def without_taesd(self) -> "CountedBundle":
        """As a bundle that was imported without it."""
        parts = {role: name for role, name in self.manifest.raw["parts"].items() if role != "taesd"}
        manifest = replace(self.manifest, raw={**self.manifest.raw, "parts": parts})
        return replace(self, manifest=manifest)


@contextmanager
def counted_bundle(architecture: Architecture) -> Iterator[CountedBundle]:
    """A bundle of these shapes, whose graphs can be counted; nothing is allocated.

    Args:
        architecture: the shapes, such as `xbind.importing.architectures.sd21()`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        manifest = write_shapes(folder / "counted", architecture)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        # it draws again until every number is in range, and there are no numbers
        with patch.object(init, "trunc_normal_", lambda tensor, **_: tensor):
            nets = {name: build() for name, (build, _) in networks(architecture).items()}
        bundle = bundle_of(manifest, architecture, nets)
        found: dict[GraphRequest, StepWork] = {}

        def count(request: GraphRequest) -> StepWork:
            if request not in found:
                found[request] = _count(bundle, request)
            return found[request]

        yield CountedBundle(manifest, count, lambda request: _feeds(bundle, request))


def _feeds(bundle: Bundle, request: GraphRequest) -> Feeds:
    return trial_feeds(bundle, request, 0.5, torch.Generator().manual_seed(0))


def _count(bundle: Bundle, request: GraphRequest) -> StepWork:
    feeds = _feeds(bundle, request)
    module = make_module(bundle, request.name)
    with torch.no_grad(), parameters_used() as used, OpCounter() as counter:
        module(**feeds)
    weights = sum(p.nbytes for p in used)
    return StepWork(tuple(counter.ops), counter.peak_bytes, weights)


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
    taesd = frozen.get("taesd")
    return Bundle(manifest, encoder, frozen["clip"], clip_size, unclip, zero123, None, taesd)
