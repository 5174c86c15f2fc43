"""Definitions of graphs: `GraphDef`, and `StepDef` for a guidance step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn

from xbind.config.method import (
    CoarseConfig,
    GeometryConfig,
    GuidanceConfig,
    MethodConfig,
    TextureConfig,
)
from xbind.config.options import PlanarLoss
from xbind.config.savings import FASTEST, Savings
from xbind.losses.step import GuidanceStep
from xbind.models.bind_config import Modality
from xbind.networks.frozen import Bundle
from xbind.networks.graphs.sampling import InputSampler
from xbind.networks.graphs.size import GraphRequest
from xbind.networks.manifest import BundleManifest

Phase = CoarseConfig | GeometryConfig | TextureConfig
"""Settings of a phase."""
ImageDecoder = Literal["vae", "taesd"]
"""Decoder of x̂ in the image term of a step: the prior's own VAE, or TAESD."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphDef:
    """A graph: a network's forward pass, or, as `StepDef`, a guidance step."""

    name: str
    """Name in requests, engines and `--only`."""
    components: tuple[str, ...]
    """Components of the bundle whose content is in the graph; it needs them all."""
    optional: tuple[str, ...] = ()
    """Likewise, of those that a bundle may lack."""
    module: Callable[[Bundle, bool], nn.Module]
    """Returns the frozen module, given the bundle and whether guidance takes two passes of the
    UNet; the second means nothing to a graph without guidance."""
    inputs: Callable[[InputSampler], dict[str, Tensor]]
    """Returns sample inputs, to record the graph with and to compare engines by."""
    usual: Callable[[MethodConfig, BundleManifest], GraphRequest] | None = None
    """Returns the size at which a run would use it; a guidance step knows it from its phase."""
    modality: Modality | None = None
    """Modality that it encodes; the bundle's aligned encoder must have a trunk for it."""

    def is_in(self, manifest: BundleManifest) -> bool:
        """Returns True if a bundle has the networks of the graph."""
        if not all(manifest.has(component) for component in self.components):
            return False
        return self.modality is None or self.modality in manifest.config("bind")["trunks"]

    def usual_request(self, method: MethodConfig, manifest: BundleManifest) -> GraphRequest:
        """The graph at the size at which a run would use it."""
        assert self.usual is not None, self.name
        return self.usual(method, manifest)

    def outputs(self, module: nn.Module) -> tuple[str, ...]:
        """Names of what its module returns."""
        del module
        return ("output",)


@dataclass(frozen=True, slots=True)
class StepUse:
    """Facts that decide which of several steps computes a term."""

    guidance: GuidanceConfig
    planar: PlanarLoss = "sds"
    has_taesd: bool = False
    """True if the bundle can decode x̂ by TAESD."""
    has_view_words: bool = False
    """True if the bundle's 2D prior knows view words."""
    as_latents: bool = False
    """True if pictures stand for the latents of the views."""

    @property
    def perp_neg(self) -> bool:
        """True if SDS of the 2D prior is guided by Perp-Neg."""
        return self.has_view_words and self.guidance.view_words and self.guidance.perp_neg > 0

    @classmethod
    def of_phase(cls, phase: Phase, manifest: BundleManifest) -> "StepUse":
        """The facts of a phase with a bundle."""
        return cls(
            phase.guidance, phase.planar, has_taesd=manifest.has("taesd"),
            has_view_words=manifest.has_view_words,
        )  # fmt: skip

    def decoder(self, weight: float) -> ImageDecoder | None:
        """Returns the decoder of x̂ for an image term of this weight; None without an image term."""
        if weight <= 0:
            return None
        return "taesd" if self.guidance.decoder == "tiny" and self.has_taesd else "vae"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDef(GraphDef):
    """A guidance step: a loss of `xbind.losses` with its gradient inside."""

    term: str
    """Name of the term that it computes, in `xbind.algorithm.supervision.TERMS`."""
    weight: Callable[[GuidanceConfig], float]
    """Returns the weight of the term; a phase whose weight is 0 does not run the step."""
    request: Callable[[Phase, BundleManifest, Savings], GraphRequest]
    """Returns the graph at the size that one iteration of a phase runs."""
    fits: Callable[[StepUse], bool] = lambda use: True
    """True if this step computes the term, where several steps can."""
    decoder: ImageDecoder | None = None
    """Decoder of x̂; None for a step without an image term."""
    reduction: Literal["mean", "sum"] = "mean"
    """Reduction over views: a mean, or a sum with the weights among the inputs."""
    shared: tuple[str, ...] = ()
    """Inputs that all views have in common, beside those that are one number."""

    def usual_request(self, method: MethodConfig, manifest: BundleManifest) -> GraphRequest:
        """The graph as Phase I would run it."""
        return self.request(method.coarse, manifest, FASTEST)

    def outputs(self, module: nn.Module) -> tuple[str, ...]:
        """Names of what its module returns."""
        return cast(GuidanceStep, module).outputs
