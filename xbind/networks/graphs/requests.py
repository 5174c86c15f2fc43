"""Graphs that a run uses, and their sizes."""

from xbind.config.method import MethodConfig
from xbind.config.savings import FASTEST, Savings
from xbind.networks.graphs.definition import Phase, StepUse
from xbind.networks.graphs.size import GraphRequest
from xbind.networks.graphs.table import graphs_of, steps_of_phase
from xbind.networks.manifest import BundleManifest

PARTS = ("reference", "coarse", "geometry", "texture")
"""Parts of a run, in their order: sampling x_r, and the three phases."""


def requests_of_run(
    method: MethodConfig,
    manifest: BundleManifest,
    savings: Savings = FASTEST,
    *,
    samples_reference: bool = True,
) -> list[GraphRequest]:
    """The graphs that `xbind generate` runs, each once: steps, and the UNets that are sampled.

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
        rows = savings.at_once(method.reference.candidates) * (1 if savings.split_guidance else 2)
        wanted["reference"].append(GraphRequest("unet2d", rows, 0))
    if method.uses_agreement:
        rows = savings.at_once(method.agreement.views) * (1 if savings.split_guidance else 2)
        wanted["reference"].append(GraphRequest("unet3d", rows, 0))
    phases: tuple[tuple[str, Phase], ...] = (
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
        count = savings.at_once(method.reference.candidates)
        requests = [*requests, GraphRequest("vae_decode", count, 0)]
        requests.append(GraphRequest("bind_vision", method.reference.candidates, 0))
        if method.reference.w_error > 0:
            requests.append(GraphRequest("vae_encode", count, manifest.image_size_2d))
    return requests


def requests_of_phase(
    phase: Phase, manifest: BundleManifest, savings: Savings = FASTEST
) -> list[GraphRequest]:
    """The guidance steps that one iteration of a phase runs.

    Raises:
        GuidanceError: the 2D prior cannot be shown images of the size that the phase wants.
    """
    steps = steps_of_phase(StepUse.of_phase(phase, manifest))
    return [step.request(phase, manifest, savings) for step in steps]


def all_requests(method: MethodConfig, manifest: BundleManifest) -> list[GraphRequest]:
    """`requests_of_run`, and every other graph of the bundle at the size that a run would use."""
    wanted = requests_of_run(method, manifest)
    named = {request.name for request in wanted}
    others = [graph for graph in graphs_of(manifest) if graph.name not in named]
    return wanted + [graph.usual_request(method, manifest) for graph in others]


def has_image_term(phase: Phase) -> bool:
    """Returns True if a step of the phase decodes x̂; L_CDS has no image term."""
    return any(
        step.decoder is not None for step in steps_of_phase(StepUse(phase.guidance, phase.planar))
    )
