"""The graphs of a bundle: which ones a run uses, the module that each is, and inputs to try it on.

A guidance step is one graph with its gradient inside; what is only sampled or encoded once is a
plain forward. Shapes are static, so the same step at another size is another graph.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import cast

from torch import nn

from xbind.config.presets import (
    CoarseConfig,
    GeometryConfig,
    GuidanceConfig,
    MethodConfig,
    TextureConfig,
)
from xbind.config.savings import FASTEST, Savings
from xbind.diffusion.errors import GuidanceError
from xbind.diffusion.single_networks import Decode, Embed, Encode, PlainUNet, UnitEmbedding
from xbind.engine.cuda_graph import GraphedStep, Recorder
from xbind.engine.errors import EngineError
from xbind.losses.cds2d import Cds2d
from xbind.losses.microbatch import InParts
from xbind.losses.ms import Ms
from xbind.losses.sds2d import Sds2d
from xbind.losses.sds3d import Sds3d
from xbind.losses.step import GuidanceStep
from xbind.models.bind_config import Modality
from xbind.networks.frozen import Bundle
from xbind.networks.manifest import BundleManifest

STEPS = (
    "sds2d", "sds2d_img", "sds2d_tiny", "cds2d", "sds3d", "sds3d_img", "sds3d_tiny", "ms",
)  # fmt: skip
"""Guidance steps; `_img` has the image term of Eq. 5, `_tiny` as well, with x̂ by TAESD."""
OF_UNCLIP = ("sds2d", "sds2d_img", "sds2d_tiny", "cds2d")
"""Those of the 2D prior."""
BIND = "bind_"
"""Starts the name of an encoder's graph; the modality follows."""
FORWARDS = ("unet2d", "unet3d", "vae_encode", "vae_decode", "clip_image")
"""Plain forwards, beside one `bind_<modality>` for each modality of the bundle."""


PARTS = ("reference", "coarse", "geometry", "texture")
"""Parts of a run, in their order: sampling x_r, and the three phases."""


@dataclass(frozen=True, slots=True, order=True)
class GraphRequest:
    """A graph at one size."""

    name: str
    """One of `STEPS`, `FORWARDS`, or `bind_` and a modality."""
    batch: int
    """First axis of its first input."""
    size: int
    """Side of its images, in pixels, where it takes images of any size; else 0."""
    shown: int = 0
    """Side of the images that the 2D prior is shown, in pixels, where not its own; else 0."""
    two_passes: bool = False
    """Whether guidance takes two passes of the UNet at the batch, instead of one at twice that."""

    @property
    def label(self) -> str:
        """A file name, such as `sds2d_img-b1-64px`, or `sds2d_img-b1-128px-at256px`."""
        size = f"-{self.size}px" if self.size else ""
        shown = f"-at{self.shown}px" if self.shown else ""
        return f"{self.name}-b{self.batch}{size}{shown}" + ("-2passes" if self.two_passes else "")


def request_labelled(label: str) -> GraphRequest:
    """The request whose `label` this is.

    Raises:
        EngineError: it is none.
    """
    form = r"(\w+)-b(\d+)(?:-(\d+)px)?(?:-at(\d+)px)?(-2passes)?"
    if (found := re.fullmatch(form, label)) is None:
        raise EngineError(f"{label!r} does not name a graph and its sizes, as ms-b3-64px does.")
    name, batch, size, shown, split = found.groups()
    return GraphRequest(
        name, int(batch), int(size or 0), int(shown or 0), two_passes=split is not None
    )


def requests_of_run(
    method: MethodConfig,
    manifest: BundleManifest,
    savings: Savings = FASTEST,
    *,
    samples_reference: bool = True,
) -> list[GraphRequest]:
    """The graphs that `xbind generate` runs, each once: steps, and the UNet that samples x_r.

    Args:
        method: what it does not use is not asked for.
        manifest: of the bundle.
        savings: how they are run.
        samples_reference: False for a prompt whose own picture is x_r.
    """
    parts = requests_of_parts(method, manifest, savings, samples_reference=samples_reference)
    return list(dict.fromkeys(request for part in parts.values() for request in part))


def requests_of_parts(
    method: MethodConfig,
    manifest: BundleManifest,
    savings: Savings = FASTEST,
    *,
    samples_reference: bool = True,
) -> dict[str, list[GraphRequest]]:
    """Each of `PARTS` → the graphs that it runs; see `requests_of_run`."""
    wanted: dict[str, list[GraphRequest]] = {name: [] for name in PARTS}
    if samples_reference and method.uses_reference:
        candidates = 1 if savings.one_at_a_time else method.reference.candidates
        rows = candidates * (1 if savings.split_guidance else 2)
        wanted["reference"].append(GraphRequest("unet2d", rows, 0))
    phases: tuple[tuple[str, CoarseConfig | GeometryConfig | TextureConfig], ...] = (
        ("coarse", method.coarse), ("geometry", method.geometry), ("texture", method.texture),
    )  # fmt: skip
    for name, phase in phases:
        if phase.steps > 0:
            wanted[name] += requests_of_phase(phase, manifest, savings)
    return wanted


def graphs_of_part(
    method: MethodConfig, manifest: BundleManifest, name: str, savings: Savings = FASTEST
) -> list[GraphRequest]:
    """The graphs of a part, with those that the reference view needs once and runs in torch."""
    requests = requests_of_parts(method, manifest, savings)[name]
    if name == "reference":
        count = 1 if savings.one_at_a_time else method.reference.candidates
        requests = [*requests, GraphRequest("vae_decode", count, 0)]
        requests.append(GraphRequest(f"{BIND}vision", method.reference.candidates, 0))
    return requests


def requests_of_phase(
    phase: CoarseConfig | GeometryConfig | TextureConfig,
    manifest: BundleManifest,
    savings: Savings = FASTEST,
) -> list[GraphRequest]:
    """The guidance steps that one iteration of a phase runs.

    Raises:
        GuidanceError: the 2D prior cannot be shown images of the size that the phase wants.
    """
    views = 1 if savings.one_at_a_time else phase.views
    wanted = []
    for name in _step_names(phase.guidance, phase.planar, has_taesd=manifest.has("taesd")):
        if name == "ms":
            each = 2 * phase.guidance.ms_augmentations + 1
            images = 1 if savings.one_at_a_time else phase.views * each
            wanted.append(GraphRequest(name, images, _clip_size(manifest)))
        else:
            shown = _shown(phase.guidance, manifest) if name in OF_UNCLIP else 0
            split = savings.split_guidance
            wanted.append(GraphRequest(name, views, phase.size, shown, two_passes=split))
    return wanted


def all_requests(method: MethodConfig, manifest: BundleManifest) -> list[GraphRequest]:
    """`requests_of_run`, and every other graph of the bundle at the size that a run would use."""
    views, size = method.coarse.views, manifest.raw["image_size"]["unclip"]
    wanted = requests_of_run(method, manifest)
    named = {request.name for request in wanted}
    steps = [n for n in steps_of(manifest) if n not in named and n != "ms"]
    wanted += [GraphRequest(n, views, size) for n in steps]
    wanted += [
        GraphRequest("unet3d", 2 * views, 0),
        GraphRequest("vae_encode", 1, size),
        GraphRequest("vae_decode", method.reference.candidates, 0),
        GraphRequest("clip_image", 1, _clip_size(manifest)),
    ]
    modalities = manifest.config("bind")["trunks"]
    return wanted + [GraphRequest(f"{BIND}{modality}", 1, 0) for modality in modalities]


def steps_of(manifest: BundleManifest) -> list[str]:
    """The guidance steps that a bundle has networks for."""
    return [name for name in STEPS if manifest.has("taesd") or not name.endswith("_tiny")]


def _shown(guidance: GuidanceConfig, manifest: BundleManifest) -> int:
    """Side of the images that the 2D prior is shown, where it is not its own; else 0."""
    own = manifest.raw["image_size"]["unclip"]
    shown = guidance.shown_2d(own)
    if shown == own:
        return 0
    vae, unet = (len(manifest.config(f"unclip.{x}")["block_out_channels"]) for x in ("vae", "unet"))
    step = 1 << (vae + unet - 2)
    if shown < step or shown % step:
        raise GuidanceError(
            f"The 2D prior of bundle {manifest.name!r} cannot be shown images of {shown} pixels: "
            f"its VAE halves a side {vae - 1} times and its UNet {unet - 1} times.\n"
            f"Set size_2d of the preset to a multiple of {step}, or to None for the bundle's own "
            f"{own} pixels."
        )
    return shown


def _clip_size(manifest: BundleManifest) -> int:
    """Side of the MS loss's images, in pixels."""
    size: int = manifest.config("clip")["image_size"]
    return size


def _step_names(guidance: GuidanceConfig, planar: str, *, has_taesd: bool) -> Iterator[str]:
    if guidance.w_2d > 0:
        yield "cds2d" if planar == "cds" else sds_name("sds2d", guidance, has_taesd=has_taesd)
    if guidance.w_3d > 0:
        yield sds_name("sds3d", guidance, has_taesd=has_taesd)
    if guidance.w_ms > 0:
        yield "ms"


def sds_name(name: str, guidance: GuidanceConfig, *, has_taesd: bool) -> str:
    """The step with or without its image term, as its weight asks for, and what decodes x̂.

    Args:
        name: `sds2d` or `sds3d`.
        guidance: holds the weights.
        has_taesd: whether the bundle can decode x̂ by TAESD.
    """
    if image_weight(name, guidance) <= 0:
        return name
    return f"{name}_tiny" if guidance.decoder == "tiny" and has_taesd else f"{name}_img"


def image_weight(name: str, guidance: GuidanceConfig) -> float:
    """Weight of the image term of `sds2d` (Eq. 5) or of `sds3d` (ours: Eq. 10 has none)."""
    return guidance.w_img_3d if name == "sds3d" else guidance.w_img


def has_image_term(phase: CoarseConfig | GeometryConfig | TextureConfig) -> bool:
    """Whether a step of the phase decodes x̂; L_CDS has no image term."""
    guidance = phase.guidance
    planar = guidance.w_2d > 0 and phase.planar == "sds" and guidance.w_img > 0
    return planar or (guidance.w_3d > 0 and guidance.w_img_3d > 0)


def eager_steps(
    bundle: Bundle, savings: Savings = FASTEST, recorder: Recorder | None = None
) -> Callable[[str], GuidanceStep]:
    """Name → the step in eager torch, at any size; each is made once.

    Args:
        bundle: the frozen networks.
        savings: how they are run.
        recorder: makes a CUDA graph of each step; None starts its kernels one by one.
    """

    def make(name: str) -> GuidanceStep:
        module = make_module(bundle, name, two_passes=savings.split_guidance)
        step = cast(GuidanceStep, module)
        if recorder is not None:
            step = GraphedStep(step, recorder)
        return sparing(name, step, savings)

    return cache(make)


def sparing(name: str, step: GuidanceStep, savings: Savings) -> GuidanceStep:
    """The step, given one view or image at a time where memory is to be saved."""
    if not savings.one_at_a_time:
        return step
    return InParts(step, 1, reduction="sum" if name == "ms" else "mean")


def make_module(bundle: Bundle, name: str, *, two_passes: bool = False) -> nn.Module:
    """The frozen module that a graph is made of.

    Args:
        bundle: the frozen networks.
        name: of the graph.
        two_passes: see `GraphRequest`; of no meaning to graphs without guidance.

    Raises:
        EngineError: there is no graph of that name.
    """
    unclip, zero123 = bundle.unclip, bundle.zero123
    decoder = bundle.taesd if name.endswith("_tiny") else None
    if name.endswith("_tiny") and decoder is None:
        raise EngineError(
            f"The graph {name!r} needs TAESD, which bundle {bundle.manifest.name!r} has not.\n"
            f"Give it one with `xbind bundle import --taesd`."
        )
    match name:
        case "sds2d" | "sds2d_img" | "sds2d_tiny":
            return Sds2d(
                unclip.vae, unclip.unet, unclip.schedule, unclip.context,
                latent_px=unclip.latent_px, image_term=name != "sds2d",
                two_passes=two_passes, decoder=decoder,
            )  # fmt: skip
        case "cds2d":
            return Cds2d(
                unclip.vae, unclip.unet, unclip.schedule, unclip.context,
                latent_px=unclip.latent_px, two_passes=two_passes,
            )  # fmt: skip
        case "sds3d" | "sds3d_img" | "sds3d_tiny":
            return Sds3d(
                zero123.vae, zero123.unet, zero123.schedule,
                image_size=zero123.image_size, image_term=name != "sds3d",
                two_passes=two_passes, decoder=decoder,
            )  # fmt: skip
        case "ms":
            return Ms(UnitEmbedding(bundle.clip))
        case _:
            return _make_forward(bundle, name)


def _make_forward(bundle: Bundle, name: str) -> nn.Module:
    match name:
        case "unet2d":
            return PlainUNet(bundle.unclip.unet, labelled=True)
        case "unet3d":
            config = bundle.zero123.unet.config
            return PlainUNet(bundle.zero123.unet, labelled=config.class_embed_type is not None)
        case "vae_encode":
            return Encode(bundle.unclip.vae)
        case "vae_decode":
            return Decode(bundle.unclip.vae)
        case "clip_image":
            return UnitEmbedding(bundle.clip)
    modality = name.removeprefix(BIND)
    trunks = bundle.bind.model.config.trunks
    if name.startswith(BIND) and modality in trunks:
        return Embed(bundle.bind.model, cast(Modality, modality))
    known = ", ".join([*steps_of(bundle.manifest), *FORWARDS, *(f"{BIND}{m}" for m in trunks)])
    raise EngineError(f"The bundle has no graph {name!r}.\nChoose of: {known}.")


def output_names(name: str, module: nn.Module) -> tuple[str, ...]:
    """Names of what a graph's module returns."""
    return cast(GuidanceStep, module).outputs if name in STEPS else ("output",)
