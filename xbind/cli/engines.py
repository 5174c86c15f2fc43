"""`xbind engines list|verify|diagnose|gc`: what is in the store, and what is wrong with it."""

from typing import TYPE_CHECKING

from rich.table import Table

from xbind.cli.options import DiagnoseEnginesConfig
from xbind.engine.errors import EngineDamaged, EngineError
from xbind.engine.record import Entry, Key
from xbind.engine.store import EngineStore, cards_passed, engines_folder
from xbind.networks.fingerprint import key_of, why_stale
from xbind.networks.graphs import GraphRequest, request_labelled
from xbind.networks.manifest import BundleManifest, load_manifest
from xbind.run.console import PlainConsole
from xbind.run.progress import format_bytes

if TYPE_CHECKING:
    from xbind.networks.diagnose import Diagnosis

COLUMNS = (
    "graph", "backend", "precision", "size", "built in", "agrees with torch to", "compared",
    "state",
)  # fmt: skip
SHOWN = 5
"""Layers of a diagnosis that are printed."""

WIDTH = 200
"""Width of the table in characters; lines are not wrapped, for `grep`."""


def show() -> None:
    """Print every engine, and why those that are not used any more are not."""
    store = EngineStore(engines_folder())
    console = PlainConsole(soft_wrap=True, width=WIDTH)
    table = Table(box=None)
    for name in COLUMNS:
        table.add_column(name, no_wrap=True)
    found = list(store.entries())
    for entry in found:
        table.add_row(*(_row(entry) if isinstance(entry, Entry) else _damaged_row(entry)))
    if found:
        console.print(table)
    size = sum(entry.size_bytes for entry in found if isinstance(entry, Entry))
    console.print(f"{len(found)} engines, {format_bytes(size)}, in {store.root}")


def verify() -> int:
    """Compare every byte with its hash; the exit status, 1 when an engine is damaged."""
    store = EngineStore(engines_folder())
    console = PlainConsole(soft_wrap=True)
    bad = 0
    for entry in store.entries():
        try:
            if isinstance(entry, EngineDamaged):
                raise entry
            entry.verify()
        except EngineDamaged as error:
            bad += 1
            console.print(str(error))
        else:
            console.print(f"whole: {entry.folder.name}")
    console.print(f"{bad} damaged" if bad else "all engines are whole")
    return int(bad > 0)


def diagnose(config: DiagnoseEnginesConfig) -> int:
    """Print where an engine leaves its tolerance; the exit status, 1 where it does.

    Raises:
        XBindError: no engine or several have that name, or it cannot be run here layer by layer.
    """
    from xbind.networks.diagnose import diagnose as examine
    from xbind.networks.diagnose import save_layers
    from xbind.networks.load import load_bundle

    console = PlainConsole(soft_wrap=True)
    store = EngineStore(engines_folder())
    key, entry, why = _subject(store, config.key)
    manifest = load_manifest(config.bundle).with_priors(config.prior_2d, config.prior_3d)
    request = request_labelled(key.fields["graph"])
    _check_made_of(key, request, manifest)
    if why is not None:
        console.print(f"refused: {why.splitlines()[0]}")
    bundle = load_bundle(manifest)
    found = examine(bundle, request, key, entry)
    for line in _findings(key, found):
        console.print(line)
    if found.keep:
        path = save_layers(bundle, request, key.fields["backend"], found.keep)
        console.print(f"written to {path}; `--precision mixed` builds with them")
    return int(not found.passes)


def _subject(store: EngineStore, name: str) -> tuple[Key, Entry | None, str | None]:
    """The key of the engine whose folder's name starts so, the engine, and why it was refused.

    Raises:
        EngineError: there is none, or there are several.
    """
    entries = [entry for entry in store.entries() if isinstance(entry, Entry)]
    known: dict[str, tuple[Key, Entry | None, str | None]]
    known = {entry.key.folder_name: (entry.key, entry, None) for entry in entries}
    known |= {key.folder_name: (key, None, why) for key, why in store.refused()
              if key.folder_name not in known}  # fmt: skip
    fitting = [folder for folder in known if folder.startswith(name)]
    if len(fitting) != 1:
        there = "\n".join(f"  {folder}" for folder in sorted(fitting or known)) or "  none"
        many = f"{len(fitting)} engines are" if fitting else "No engine is"
        raise EngineError(
            f"{many} called {name!r}... in {store.root}. There are:\n{there}\n"
            "Give as much of a name as tells it from the others."
        )
    return known[fitting[0]]


def _check_made_of(key: Key, request: GraphRequest, manifest: BundleManifest) -> None:
    """Refuse an engine whose graph cannot be written again as it was.

    Raises:
        EngineError: it is of another bundle or another installation.
    """
    stale = why_stale(key)
    present = key_of(
        request, key.fields["backend"], manifest, targets=key.fields["target"].split("+")
    )
    if key.fields["weights"] != present.fields["weights"]:
        raise EngineError(
            f"{key.folder_name} was not made of the bundle {manifest.name!r} as it is.\n"
            "Name its bundle with --bundle, and its priors with --prior-2d and --prior-3d."
        )
    if stale:
        raise EngineError(
            f"{key.folder_name} is of another installation: {'; '.join(map(_short, stale))}.\n"
            "Build it again with xbind-build-engines, and diagnose the new one."
        )


def _findings(key: Key, found: "Diagnosis") -> list[str]:
    """The diagnosis in words."""
    fields = key.fields
    lines = [
        f"{fields['graph']} in {fields['precision']} on {found.compared}: {len(found.layers)} "
        "layers compared with float32 in ONNX Runtime"
    ]
    if found.first is None:
        lines.append("no layer is out of tolerance")
    else:
        lines.append(f"first layer out of tolerance: {found.first}")
    ranked = sorted((x for x in found.layers if not x.cancels), key=lambda x: -x.added)
    lines += ["layers that add most:", *(f"  {layer}" for layer in ranked[:SHOWN])]
    if found.passes:
        lines.append("the outputs are within tolerance")
    elif found.keep:
        lines.append(f"passes with {len(found.keep)} layers in float32: {', '.join(found.keep)}")
    elif fields["precision"] in ("float16", "mixed"):
        lines.append("no small set of layers in float32 helps: give --precision float32")
    return lines


def gc(*, everything: bool) -> None:
    """Remove what is damaged, unfinished or for another installation; or everything."""
    store = EngineStore(engines_folder())
    console = PlainConsole(soft_wrap=True)
    held: list[str] = []
    removed = store.gc(
        lambda entry: not everything and not why_stale(entry.key), in_use=held.append
    )
    for name in held:
        console.print(f"kept {name}: a run is using it")
    for name, size in removed:
        console.print(f"removed {name} ({format_bytes(size)})")
    total = sum(size for _, size in removed)
    console.print(f"{len(removed)} removed, {format_bytes(total)}, from {store.root}")


def _row(entry: Entry) -> tuple[str, ...]:
    fields, parity = entry.key.fields, entry.notes.get("parity", {})
    worst = max((figure["relative"] for figure in parity.values()), default=float("nan"))
    return (
        fields["graph"],
        f"{fields['backend']} {fields['backend_version']}",
        fields["precision"],
        format_bytes(entry.size_bytes),
        f"{entry.notes.get('seconds', float('nan')):.1f} s",
        f"{worst:.0e}",
        ", ".join(cards_passed(entry)) or entry.notes.get("compared", ""),
        "; ".join(_short(line) for line in why_stale(entry.key)) or "in use",
    )


def _damaged_row(error: EngineDamaged) -> tuple[str, ...]:
    first = str(error).splitlines()[0]
    return (first, *[""] * (len(COLUMNS) - 2), "damaged")


def _short(difference: str) -> str:
    """Digests say nothing to a reader; that the code has changed does."""
    return "built by other code" if difference.startswith("exporter") else difference
