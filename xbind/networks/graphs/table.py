"""All graphs by name, and their modules and sample inputs."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from xbind.config.method import GuidanceConfig
from xbind.config.savings import FASTEST, Savings
from xbind.engine.cuda_graph import GraphedStep, Recorder
from xbind.engine.errors import EngineError
from xbind.losses.microbatch import MicroBatched
from xbind.losses.step import GuidanceStep
from xbind.networks.frozen import Bundle
from xbind.networks.graphs.definition import GraphDef, StepDef, StepUse
from xbind.networks.graphs.forwards import FORWARD_DEFS
from xbind.networks.graphs.sampling import InputSampler
from xbind.networks.graphs.size import GraphRequest
from xbind.networks.graphs.steps import STEP_DEFS
from xbind.networks.manifest import BundleManifest

GRAPHS: dict[str, GraphDef] = {graph.name: graph for graph in (*STEP_DEFS, *FORWARD_DEFS)}
"""Name → graph; guidance steps first, in the order in which a phase runs them."""


def graph_named(name: str) -> GraphDef:
    """The definition of a graph.

    Raises:
        EngineError: there is no graph of that name.
    """
    if name not in GRAPHS:
        raise EngineError(f"There is no graph {name!r}.\nChoose of: {', '.join(GRAPHS)}.")
    return GRAPHS[name]


def step_named(name: str) -> StepDef:
    """The definition of a guidance step.

    Raises:
        EngineError: there is no graph of that name, or it is not a guidance step.
    """
    graph = graph_named(name)
    if not isinstance(graph, StepDef):
        known = ", ".join(step.name for step in all_steps())
        raise EngineError(f"The graph {name!r} is not a guidance step.\nChoose of: {known}.")
    return graph


def all_steps() -> list[StepDef]:
    """Every guidance step."""
    return [graph for graph in GRAPHS.values() if isinstance(graph, StepDef)]


def graphs_of(manifest: BundleManifest) -> list[GraphDef]:
    """The graphs that a bundle has networks for."""
    return [graph for graph in GRAPHS.values() if graph.is_in(manifest)]


def steps_of(manifest: BundleManifest) -> list[str]:
    """Names of the guidance steps that a bundle has networks for."""
    return [step.name for step in all_steps() if step.is_in(manifest)]


def step_of(term: str, use: StepUse) -> StepDef:
    """The guidance step that computes a term.

    Raises:
        EngineError: none does.
    """
    for step in all_steps():
        if step.term == term and step.fits(use):
            return step
    raise EngineError(f"No guidance step computes the term {term!r} for {use}.")


def steps_of_phase(use: StepUse) -> list[StepDef]:
    """The guidance steps that a phase runs, whose weights decide."""
    uses = [use]
    if use.guidance.latent_share > 0:  # for a part of the phase
        uses.append(replace(use, as_latents=True))
    return [
        step
        for step in all_steps()
        if step.weight(use.guidance) > 0 and any(step.fits(each) for each in uses)
    ]


def term_weights(guidance: GuidanceConfig) -> dict[str, float]:
    """Term → its weight, for every term that a guidance step computes."""
    return {step.term: step.weight(guidance) for step in all_steps()}


def make_module(bundle: Bundle, name: str, *, two_passes: bool = False) -> nn.Module:
    """The frozen module of a graph.

    Args:
        bundle: the frozen networks.
        name: of the graph.
        two_passes: see `GraphRequest`; of no meaning to graphs without guidance.

    Raises:
        EngineError: there is no graph of that name, or the bundle lacks its networks.
    """
    graph, manifest = graph_named(name), bundle.manifest
    if not graph.is_in(manifest):
        lacking = [*(c for c in graph.components if not manifest.has(c)), graph.modality][0]
        remedy = "Import it again with --taesd, or choose" if lacking == "taesd" else "Choose"
        raise EngineError(
            f"The graph {name!r} needs {lacking!r}, which bundle {manifest.name!r} does not have.\n"
            f"{remedy} of: {', '.join(known.name for known in graphs_of(manifest))}."
        )
    return graph.module(bundle, two_passes)


def output_names(name: str, module: nn.Module) -> tuple[str, ...]:
    """Names of what a graph's module returns."""
    return graph_named(name).outputs(module)


@torch.no_grad()
def sample_inputs(
    bundle: Bundle, request: GraphRequest, noise_share: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Returns one set of inputs of a graph, by name.

    Args:
        bundle: the frozen networks.
        request: the graph.
        noise_share: timestep as a share of the schedule, in (0, 1).
        generator: source of every draw.

    Raises:
        EngineError: there is no graph of that name.
    """
    sampler = InputSampler(bundle, request, noise_share, generator)
    return graph_named(request.name).inputs(sampler)


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
    known = step_named(name)
    return MicroBatched(step, 1, reduction=known.reduction, shared=known.shared)
