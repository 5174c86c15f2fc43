"""`xbind plan`: what a run needs of a GPU's memory, part by part, and whether it fits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.run.console import PlainConsole

if TYPE_CHECKING:
    from xbind.cli.options import PlanConfig
    from xbind.memory.plan import PartPlan, Plan

MIB = 2**20
WIDTH = 90
"""Least width of the tables in characters, so that names of graphs are not cut off."""
CARDS = ((8, "RTX 4060"), (12, "RTX 3060"), (16, "RTX 4080"), (24, "RTX 3090"), (32, "RTX 5090"))
"""GiB of memory of some cards, and one of each."""


def show_plan(config: "PlanConfig") -> None:
    """Print a table of the parts of a run, and which card it fits.

    Raises:
        XBindError: there is no such preset or bundle, or it does not fit.
    """
    from xbind.config.variants import method_named
    from xbind.memory.plan import Wish, fit

    method = method_named(config.preset, changes=config.method)
    console = PlainConsole(soft_wrap=True)
    console.width = max(console.width, WIDTH)
    with _manifest(config) as manifest:
        wish = Wish(config.vram, config.precision, engines=config.engine != "eager")
        plan = fit(method, manifest.with_priors(method.prior_2d, method.prior_3d), wish)
        console.print(_header(config, manifest))
    console.print(_graphs(plan))
    console.print(_parts(plan))
    for line in _verdict(plan):
        console.print(line)


@contextmanager
def _manifest(config: "PlanConfig") -> Iterator[BundleManifest]:
    """A bundle's manifest, or one of the public networks' shapes."""
    if config.bundle_config is None:
        yield load_manifest(config.bundle)
        return
    from xbind.importing.architectures import reduced, sd21, with_sd_base
    from xbind.importing.random_weights import write_shapes

    architecture = with_sd_base(sd21() if config.bundle_config == "sd21" else reduced())
    with TemporaryDirectory() as folder:
        yield write_shapes(Path(folder) / config.bundle_config, architecture)


def _header(config: "PlanConfig", manifest: BundleManifest) -> str:
    wish = "as fast as it goes" if config.vram is None else f"at most {config.vram:g} GiB"
    networks = "eager torch" if config.engine == "eager" else "engines"
    return f"{config.preset} with {manifest.name} in {networks}, {wish}"


def _graphs(plan: "Plan") -> Table:
    table = _table("part", "graph, MiB", "weights", "activations", "workspace", "attention")
    for part in plan.parts:
        name = part.name
        for graph in part.graphs:
            needs = graph.needs
            table.add_row(
                name, graph.request.label,
                *(f"{n / MIB:,.0f}" for n in (
                    needs.weights, needs.activations, needs.workspace, needs.attention
                )),
            )  # fmt: skip
            name = ""
    return table


def _parts(plan: "Plan") -> Table:
    from xbind.memory.plan import GIB, RUNTIME_BYTES

    table = _table(
        "part", "weights", "activations", "workspace", "state", "buffers", "runtime", "peak, GiB"
    )
    for part in plan.parts:
        numbers = (
            part.weights, part.widest.needs.activations, part.widest.needs.workspace,
            part.scene.state, part.scene.buffers, RUNTIME_BYTES, part.peak,
        )  # fmt: skip
        table.add_row(part.name, *(f"{number / GIB:.2f}" for number in numbers))
    return table


def _table(*columns: str) -> Table:
    table = Table(*columns, box=SIMPLE, collapse_padding=True, pad_edge=False)
    for column in table.columns:
        if column.header not in ("part", "graph, MiB"):
            column.justify = "right"
    return table


def _verdict(plan: "Plan") -> Iterator[str]:
    from xbind.memory.plan import GIB

    yield from (f"  {line}" for line in plan.summary())
    worst: PartPlan = plan.worst
    peak = worst.peak / GIB
    if plan.wish.gib is not None:
        yield f"fits {plan.wish.gib:g} GiB: at most {peak:.1f} GiB, in {worst.name}"
        return
    fitting = [f"{gib} GiB ({card})" for gib, card in CARDS if peak <= gib]
    yield f"needs {peak:.1f} GiB, in {worst.name}: fits {fitting[0] if fitting else 'no card here'}"
    if peak > 8:
        yield "To make it fit less, give --vram GIB, such as --vram 12."
