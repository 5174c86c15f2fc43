"""Tables of a section of results, in Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median

from xbind.evaluation.labels import BETTER, label_of
from xbind.evaluation.paper import PRINTED
from xbind.evaluation.records import Mean, mean_of, means_by_kind
from xbind.evaluation.sections import REAL, Method, Section

TABLE_1 = (
    ("text", "clip_r"), ("text", "clip_r_calibrated"),
    ("text", "clip_r_judge_2"), ("text", "clip_r_judge_2_calibrated"), ("text", "clip_r_self"),
    ("image", "clip_i"), ("image", "clip_i_judge_2"), ("image", "clip_i_self"),
    ("image", "clip_r"), ("image", "clip_r_judge_2"),
    ("audio", "arcc_self"), ("audio", "clip_r"), ("audio", "clip_r_judge_2"),
)  # fmt: skip
"""Kind of prompt and figure of each column."""
SHAPE = (
    "silhouette_change", "colour_change", "iou", "chamfer", "kernel_distance", "fronts",
    "components", "bumps",
)  # fmt: skip
"""Figures that are taken over prompts of all kinds."""
GROUPS = ("seen", "unseen")
"""Groups of prompts: by whether the first method's 3D prior was trained on their category."""

Means = Mapping[str, Mapping[str, Mean]]


def to_markdown(section: Section) -> str:
    """Returns all tables of a section, and where its objects came from."""
    parts = [
        _kinds(section), _shapes(section), _groups(section), _differences(section),
        _seconds(section), _paper(section), _calibration(section), _origin(section),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _means(method: Method) -> Means:
    return means_by_kind([{"kind": o.kind, "figures": o.figures} for o in method.objects])


def _kinds(section: Section) -> str:
    means = [_means(method) for method in section.methods]
    columns = [
        (kind, name) for kind, name in TABLE_1 if any(name in m.get(kind, {}) for m in means)
    ]
    head = ["method", *(f"{label_of(name)} ({kind})" for kind, name in columns)]
    body = [
        [method.label, *(_cell(m.get(kind, {}).get(name)) for kind, name in columns)]
        for method, m in zip(section.methods, means, strict=True)
    ]
    return "Mean ± standard error (number of objects):\n\n" + _table(head, body)


def _shapes(section: Section) -> str:
    means = [_means(method)["all"] for method in section.methods]
    columns = [name for name in SHAPE if any(name in m for m in means)]
    body = [
        [method.label, *(_cell(m.get(name)) for name in columns)]
        for method, m in zip(section.methods, means, strict=True)
    ]
    real = [_real(section, name) for name in columns]
    if any(real):
        body.append(["real objects", *("–" if m is None else f"{m.mean:.3f}" for m in real)])
    return _table(["method", *map(label_of, columns)], body)


def _real(section: Section, name: str) -> Mean | None:
    """What real objects measure, over the section's prompts."""
    found = [row[name + REAL] for row in section.real.values() if name + REAL in row]
    return mean_of(found) if found else None


def _groups(section: Section) -> str:
    """Nothing where all prompts are of one group."""
    first = section.methods[0].objects
    if not {o.group for o in first} >= set(GROUPS):
        return ""
    columns = [name for name in BETTER if any(name in o.figures for o in first)]
    body = []
    for method in section.methods:
        for group in ("all", *GROUPS):
            chosen = [o.figures for o in method.objects if group in ("all", o.group)]
            held = ([f[name] for f in chosen if name in f] for name in columns)
            body.append([method.label, group, *(_cell(mean_of(v) if v else None) for v in held)])
    return (
        f"By categories, of all kinds of prompts: *seen* by {section.methods[0].label}'s 3D prior "
        f"in its training, or *unseen*.\n\n"
        + _table(["method", "categories", *map(label_of, columns)], body)
    )


def _differences(section: Section) -> str:
    """Paired differences to the first method."""
    first, *others = section.methods
    if not others:
        return ""
    rows = []
    for name, better in BETTER.items():
        cells = [_paired(section, first, other, name) for other in others]
        if any(cells):
            rows.append([f"{label_of(name)} ({better})", *(cell or "–" for cell in cells)])
    several = len({o.seed for o in first.objects}) > 1
    return (
        f"Differences to {first.label}, paired by prompt and seed, of all kinds of prompts: mean ± "
        f"standard error (number of pairs), and in how many of them the method is better : worse "
        f"than {first.label}. In parentheses what is better; *nearer*: to real objects."
        + (" Seeds of one prompt count as pairs of their own." if several else "")
        + "\n\n"
        + _table(["figure", *(other.label for other in others)], rows)
    )


def _paired(section: Section, first: Method, other: Method, name: str) -> str | None:
    pairs = [
        (a.figures[name], b.figures[name], section.real[a.prompt].get(name + REAL))
        for a, b in zip(first.objects, other.objects, strict=True)
        if name in a.figures and name in b.figures
    ]
    if not pairs:
        return None
    mean = mean_of([b - a for a, b, _ in pairs])
    gains = [_gain(BETTER[name], *pair) for pair in pairs]
    error = "" if mean.standard_error is None else f" ± {mean.standard_error:.3f}"
    counts = f"{sum(g > 0 for g in gains)} : {sum(g < 0 for g in gains)}"
    return f"{mean.mean:+.3f}{error} ({mean.n}), {counts}".replace("-", "−")


def _gain(better: str, a: float, b: float, real: float | None) -> float:
    """Positive where `b` is better than `a`."""
    match better:
        case "higher":
            return b - a
        case "lower":
            return a - b
        case _:
            return 0.0 if real is None else abs(a - real) - abs(b - real)


def _seconds(section: Section) -> str:
    body = []
    for method in section.methods:
        held = [o.seconds for o in method.objects if o.seconds is not None]
        if held:
            workers = ", ".join(map(str, method.settings["workers"])) or "not known"
            body.append([method.label, f"{median(held):.0f} ({len(held)})", workers])
    if not body:
        return ""
    return (
        "Wall time of an object, in seconds: median (number of objects), and how many worker "
        "processes shared the machine; without objects whose run was started more than once.\n\n"
        + _table(["method", "seconds", "workers"], body)
    )


def _paper(section: Section) -> str:
    """The paper's figures beside those of here; nothing where the section names no table."""
    if section.paper is None:
        return ""
    printed = next(table for name, table in PRINTED.items() if name == section.paper)
    head, body = ["method"], []
    for name, figure, kind in printed.columns:
        head += [f"here: {label_of(figure)}{f' ({kind})' if kind else ''}", f"paper: {name}"]
    for method in section.methods:
        if (row := printed.row(method.label)) is None:
            continue
        means, cells = _means(method), [method.label]
        for (_, figure, kind), value in zip(printed.columns, row, strict=True):
            cells += [_cell(means.get(kind or "all", {}).get(figure)), f"{value:.4f}"]
        body.append(cells)
    return (
        f"The paper's own figures beside these ({printed.source}). The two do not measure the same "
        f"thing.\n\n" + _table(head, body)
    )


def _calibration(section: Section) -> str:
    if section.calibration is None:
        return ""
    names = [name for name in section.calibration["real"] if name != "objects"]
    body = [
        [
            f"{kind} ({row['objects']:.0f})",
            *(f"{row[name]:.3f}" if name in row else "–" for name in names),
        ]
        for kind, row in section.calibration.items()
    ]
    return _table(["what the judges say of", *map(label_of, names)], body)


def _origin(section: Section) -> str:
    lines = []
    for method in section.methods:
        settings = method.settings
        seeds = ", ".join(map(str, settings["seeds"]))
        failed = ", ".join(f"{o.prompt} (seed {o.seed})" for o in method.objects if o.failure)
        prior = f"3D prior {settings['prior_3d']}, " if settings["prior_3d"] else ""
        commands = settings["commands"]
        first = f"First of {len(commands)} commands: " if len(commands) > 1 else ""
        lines.append(
            f"- {method.label}: {prior}seed{'s' if len(settings['seeds']) > 1 else ''} {seeds}, "
            f"{len(method.objects)} objects, bundle {settings['bundle_sha256'][:12]}, commit "
            f"{', '.join(settings['commits'])}"
            f"{f'; nothing came out of: {failed}' if failed else ''}. "
            f"{first}`{commands[0]}`"
        )
    return "\n".join(lines) + "\n"


def _cell(mean: Mean | None) -> str:
    return "–" if mean is None else str(mean)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *map(list, body)]
    return "\n".join(f"| {' | '.join(_escaped(w) for w in line)} |" for line in lines) + "\n"


def _escaped(words: str) -> str:
    return words.replace("|", "\\|")
