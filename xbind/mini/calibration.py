"""Scores of objects of known quality: real ones and near misses.

A figure of generated objects means something only beside these.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xbind.conditioning.audio import fbank_clips
from xbind.conditioning.prompt import embed_images
from xbind.evaluation.figures import mean_cosine
from xbind.evaluation.judges import Judge, figure_of, recall_figures
from xbind.mini.judging import around, right_answers, views_of
from xbind.mini.targets import PICTURE_POSE, Target
from xbind.mini.world.categories import CATEGORIES, COLOUR_NAMES, build
from xbind.mini.world.dataset import HELD_OUT_SEED
from xbind.mini.world.draw import draw_from_seed
from xbind.mini.world.image_faults import IMAGE_FAULTS
from xbind.mini.world.near_misses import build_near_miss, near_miss_kinds
from xbind.mini.world.sounds import synthesise
from xbind.networks.frozen import AlignedEncoder
from xbind.scene.cameras import Cameras
from xbind.scene.mesh.textured import Views

VIEWS = 12
"""Azimuths from which each object is seen."""
OBJECTS = 2
"""Real objects, and near misses of every kind, of each category."""
_STREAM = 80
"""Keeps these objects apart from all others."""

Rows = dict[str, dict[str, float]]


def calibrate(independent: Sequence[Judge], own: Judge, aligned: AlignedEncoder) -> Rows:
    """Figures of real objects, of near misses of every kind, and of another category's objects.

    Args:
        independent: judges that took no part in making objects.
        own: the encoder that the MS loss optimises.
        aligned: for the ARCC of sounds.

    Returns:
        Kind of object → figure → mean over objects; `objects` is their number.
    """
    found: dict[str, list[Mapping[str, float]]] = {}
    for category in CATEGORIES:
        for k in range(OBJECTS):
            for kind, row in _object(category, k, (*independent, own), aligned):
                found.setdefault(kind, []).append(row)
    return {
        kind: {"objects": float(len(rows))}
        | {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        for kind, rows in found.items()
    }


def _object(
    category: str, k: int, judges: Sequence[Judge], aligned: AlignedEncoder
) -> list[tuple[str, Mapping[str, float]]]:
    """Makes a real object of a category and all of its near misses."""
    index = CATEGORIES.index(category)
    colour = COLOUR_NAMES[(3 * index + 5 * k) % len(COLOUR_NAMES)]
    target = Target("text", "", category, colour)

    def seeded(*more: int) -> torch.Generator:
        return draw_from_seed(HELD_OUT_SEED, _STREAM, index, k, *more).generator

    cameras = around(VIEWS)
    mesh = build(category, colour, seeded())
    real = views_of(mesh, cameras)
    other_category = CATEGORIES[(index + 1 + 7 * k) % len(CATEGORIES)]
    other = views_of(build(other_category, colour, seeded(1)), cameras)
    elevation, azimuth = PICTURE_POSE
    picture = views_of(mesh, Cameras(*torch.tensor([[elevation], [azimuth], [2.5], [40.0]]))).image
    sound = _sound(category, seeded(2), aligned)

    def row(image: Tensor) -> dict[str, float]:
        return _judged(image, target, judges)

    def likeness(views: Views) -> dict[str, float]:
        with torch.inference_mode():
            embedded = embed_images(views.image, aligned)
        cosines = {
            figure_of("clip_i", judge): mean_cosine(
                judge.look(views.image).features, judge.look(picture).features[0]
            )
            for judge in judges
        }
        return cosines | {"arcc_self": mean_cosine(embedded, sound)}

    rows = [("real", row(real.image) | likeness(real))]
    for number, (fault, spoil) in enumerate(IMAGE_FAULTS.items()):
        image = spoil(real.image, real.mask[:, None].float(), seeded(4, number))
        rows.append((fault, row(image)))
    for kind in near_miss_kinds(category):
        wrong = build_near_miss(category, colour, kind, seeded(3))
        rows.append((kind, row(views_of(wrong, cameras).image)))
    return [*rows, ("another category", row(other.image) | likeness(other))]


def _judged(image: Tensor, target: Target, judges: Sequence[Judge]) -> dict[str, float]:
    row: dict[str, float] = {}
    for judge in judges:
        row |= recall_figures(judge, judge.look(image), right_answers(target))
    return row


def _sound(category: str, generator: torch.Generator, aligned: AlignedEncoder) -> Tensor:
    wave = torch.from_numpy(synthesise(category, generator))
    with torch.inference_mode():
        clips = aligned.model.embed("audio", fbank_clips(wave, aligned.fbank))
    return normalize(clips.mean(0), dim=0)
