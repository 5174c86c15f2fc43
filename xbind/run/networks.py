"""The frozen networks of one run: which bundle, what computes them, how they save memory."""

from collections.abc import Callable

import torch

from xbind.config.options import EngineChoice, GenerateConfig, precision_for
from xbind.config.presets import MethodConfig
from xbind.config.savings import Savings
from xbind.config.variants import priors_of
from xbind.networks.graphs import PARTS, requests_of_parts
from xbind.networks.loaded import LoadedNetworks
from xbind.networks.manifest import load_manifest
from xbind.networks.runtime import Part, RunNetworks
from xbind.networks.select import runs_in_engines
from xbind.system.cache import cache_notice
from xbind.system.device import choose_device

Report = Callable[[str], None]


def choose_networks(
    config: GenerateConfig, method: MethodConfig, loaded: LoadedNetworks | None, report: Report
) -> LoadedNetworks:
    """The networks that were loaded before, or those that the settings name; nothing is read yet.

    Args:
        config: the settings of the run.
        method: may name a 2D and a 3D prior.
        loaded: networks that several runs share, if any.
        report: receives messages.

    Raises:
        XBindError: there is no such bundle, prior or device, or `loaded` holds others.
    """
    device = choose_device(config.device)
    if device.type == "cuda":
        report(f"on {torch.cuda.get_device_name(device)}")
    manifest = load_manifest(config.bundle).with_priors(*priors_of(config, method))
    if loaded is not None:
        loaded.check(manifest, device)
    if manifest.raw.get("weights") == "random":
        report(f"The weights of bundle {manifest.name!r} are random: what comes out means nothing.")
    if (notice := cache_notice()) is not None:
        report(notice)
    return LoadedNetworks(manifest, device) if loaded is None else loaded


def compile_networks(
    config: GenerateConfig,
    method: MethodConfig,
    loaded: LoadedNetworks,
    engine: EngineChoice,
    report: Report,
) -> RunNetworks:
    """Engines for every stage of a run, or eager torch, with the savings that `--vram` asks for.

    Args:
        config: the settings of the run.
        method: decides the graphs.
        loaded: the networks.
        engine: what is to compute them; a resumed run may have another than `config` names.
        report: receives messages.

    Raises:
        EngineError: an engine is not available or cannot be built.
        DoesNotFit: not even with every saving does the run fit into `--vram`.
    """
    samples = config.prompt.image is None and config.from_phase1 is None
    parts = {
        stage: Part(
            requests_of_parts(method, loaded.manifest, own, samples_reference=samples)[stage], own
        )
        for stage, own in _savings(config, method, loaded, engine, report).items()
        if stage == "reference" or not config.reference_only
    }
    return loaded.compile(
        engine, parts, threads=config.threads, report=report,
        keep_engines=None if config.vram is None else False,
    )  # fmt: skip


def _savings(
    config: GenerateConfig,
    method: MethodConfig,
    loaded: LoadedNetworks,
    engine: EngineChoice,
    report: Report,
) -> dict[str, Savings]:
    """Stage → how its networks are run."""
    precision = precision_for(config.precision, loaded.device.type)
    as_asked = dict.fromkeys(PARTS, Savings(precision=precision))
    if config.vram is None:
        return as_asked
    from xbind.memory.plan import Wish, fit  # imports the exporter, which few runs need

    engines = runs_in_engines(engine, loaded.device)
    plan = fit(method, loaded.manifest, Wish(config.vram, precision, engines=engines))
    for line in plan.summary():
        report(line)
    return as_asked | {part.name: part.savings for part in plan.parts}
