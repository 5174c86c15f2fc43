"""`xbind eval report`: tables of several methods' evaluations."""

import sys
from pathlib import Path

from xbind.cli.eval_configs import EvalReportConfig
from xbind.errors import XBindError, printable
from xbind.evaluation import compare
from xbind.evaluation.document import read_section, write_section
from xbind.evaluation.paper import PRINTED
from xbind.evaluation.sections import Section, read_sections, write_sections
from xbind.evaluation.tables import to_markdown


def evaluate_report(config: EvalReportConfig) -> None:
    """Writes figures, tables, and a sheet.

    Raises:
        XBindError: a folder holds no evaluation, methods cannot be compared, the file of results
            cannot be used, or the document has no such marks.
    """
    sections: dict[str, Section] = {}
    if config.document is not None and config.section:
        read_section(config.document, config.section)  # nothing is written if its marks are missing
    if config.methods:
        sections = {config.section: _compared(config)}
        if config.results is not None:
            held = read_sections(config.results) if config.results.exists() else {}
            write_sections(config.results, held | sections)
    if config.results is not None:  # the tables are those of the file, whatever was read before
        sections = _chosen(config.results, config.section)
    for name, section in sections.items():
        text = to_markdown(section)
        if config.document is None:
            sys.stdout.write(printable(text))
        else:
            write_section(config.document, name, text)


def _compared(config: EvalReportConfig) -> Section:
    results = compare.in_common([compare.read_method(words) for words in config.methods])
    if config.paper is not None:
        rows = PRINTED[config.paper].rows
        if not any(result.label.casefold() in map(str.casefold, rows) for result in results):
            raise XBindError(
                f"No method is called as in the paper's {config.paper}: {', '.join(rows)}.\n"
                f"Give labels, such as {next(iter(rows)).lower()}=FOLDER, or leave out --paper."
            )
    try:
        seen = compare.seen_categories(results[0])
    except XBindError as error:
        sys.stderr.write(printable(f"Seen and unseen categories are not told apart: {error}\n"))
        seen = ()
    if config.sheet is not None:
        compare.save_sheet(config.sheet, results, rows=config.rows, normals=config.normals)
    return compare.to_section(results, seen=seen, paper=config.paper)


def _chosen(path: Path, name: str) -> dict[str, Section]:
    """A section of a file of results; all of them if no name is given."""
    held = read_sections(path)
    if not name:
        return held
    if name not in held:
        raise XBindError(
            f"{path} has no section {name!r}; it has: {', '.join(held) or 'none'}.\n"
            f"Give one of these to --section, or folders of methods."
        )
    return {name: held[name]}
