"""Names of the figures in tables, and the order in which tables list them."""

from collections.abc import Iterable

LABELS = {
    "clip_r": "CLIP-R, independent judge",
    "clip_r_calibrated": "CLIP-R, and not taken for a near miss",
    "clip_r_judge_2": "CLIP-R, second judge",
    "clip_r_judge_2_calibrated": "CLIP-R, second judge, and not taken for a near miss",
    "clip_r_self": "CLIP-R, self-judged",
    "clip_i": "CLIP-I, independent judge",
    "clip_i_judge_2": "CLIP-I, second judge",
    "clip_i_self": "CLIP-I, self-judged",
    "arcc_self": "ARCC, self-judged",
    "silhouette_change": "silhouette change over a quarter turn",
    "silhouette_change_real": "… of real objects",
    "colour_change": "colour change over a quarter turn × 100",
    "colour_change_real": "… of real objects",
    "iou": "silhouette IoU with the nearest real object",
    "iou_real": "… of real objects",
    "chamfer": "Chamfer distance to it",
    "chamfer_real": "… of real objects",
    "kernel_distance": "kernel distance of features",
    "kernel_distance_real": "… of real objects",
    "fronts": "fronts over 60° apart",
    "fronts_real": "… of real objects",
    "components": "components",
    "bumps": "bumps × 100 (mean 1 − cos across edges)",
    "faces": "faces",
}
"""Figures, as tables call them, in the order of tables; "independent": of a network that took no
part in the making. A figure of real objects follows the one that it is compared with."""
BETTER = {
    "clip_r": "higher", "clip_r_calibrated": "higher", "clip_r_judge_2": "higher",
    "clip_r_judge_2_calibrated": "higher", "clip_r_self": "higher", "iou": "higher",
    "chamfer": "lower", "kernel_distance": "lower", "silhouette_change": "nearer", "bumps": "lower",
}  # fmt: skip
"""Figures that methods are compared by, pair by pair, and which of two values is better; "nearer":
to that of real objects."""
_ORDER = {name: place for place, name in enumerate(LABELS)}
_FAMILIES = {"clip_r_": "CLIP-R", "clip_i_": "CLIP-I"}
"""Figures of judges that are named, such as `clip_r_ViT-B-32`."""


def label_of(name: str) -> str:
    """The label of a figure; of a named judge's with that name."""
    if name in LABELS:
        return LABELS[name]
    for prefix, family in _FAMILIES.items():
        if name.startswith(prefix):
            return f"{family}, {name.removeprefix(prefix)}"
    return name


def in_table_order(names: Iterable[str]) -> list[str]:
    """The figures in the order of `LABELS`; a named judge's before the self-judged ones.

    Figures that are not known come last, in the order given.
    """
    return sorted(names, key=_place)


def _place(name: str) -> float:
    if name in _ORDER:
        return _ORDER[name]
    for prefix in _FAMILIES:
        if name.startswith(prefix):
            return _ORDER[f"{prefix}self"] - 0.5
    return len(_ORDER)
