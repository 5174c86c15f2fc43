"""`xbind engines list|verify|gc`: what is in the store, whether it is whole, and what can go."""

from rich.table import Table

from xbind.engine.errors import EngineDamaged
from xbind.engine.record import Entry
from xbind.engine.store import EngineStore, engines_folder
from xbind.networks.fingerprint import why_stale
from xbind.run.console import PlainConsole
from xbind.run.progress import format_bytes

COLUMNS = ("graph", "backend", "precision", "size", "built in", "agrees with torch to", "state")

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
        "; ".join(_short(line) for line in why_stale(entry.key)) or "in use",
    )


def _damaged_row(error: EngineDamaged) -> tuple[str, ...]:
    first = str(error).splitlines()[0]
    return (first, *[""] * (len(COLUMNS) - 2), "damaged")


def _short(difference: str) -> str:
    """Digests say nothing to a reader; that the code has changed does."""
    return "built by other code" if difference.startswith("exporter") else difference
