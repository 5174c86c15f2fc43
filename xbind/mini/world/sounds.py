"""The sound of each category: two seconds of synthesised audio with random parameters."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from xbind.mini.world.categories import CATEGORIES, UnknownWorldNameError
from xbind.mini.world.draw import Draw

SAMPLE_RATE = 16_000
"""Samples per second."""
LENGTH = 2 * SAMPLE_RATE
"""Samples of one clip."""

Wave = NDArray[np.float64]
TIME: Wave = np.arange(LENGTH) / SAMPLE_RATE


def synthesise(category: str, generator: torch.Generator) -> NDArray[np.float32]:
    """Returns a clip [32000], 2 s of mono at 16 kHz in [−1, 1], of random pitch, rhythm and noise.

    Raises:
        UnknownWorldNameError: if the category does not exist.
    """
    if category not in _VOICES:
        raise UnknownWorldNameError(
            f"no sound of {category!r}; choose from {', '.join(CATEGORIES)}"
        )
    draw = Draw(generator)
    wave = _VOICES[category](draw)
    wave = wave / (np.abs(wave).max() + 1e-9) * draw.uniform(0.5, 0.95)
    wave = wave + draw.uniform(0.001, 0.010) * draw.normal(LENGTH)
    clip: NDArray[np.float32] = np.clip(wave, -1.0, 1.0).astype(np.float32)
    return clip


def _since(start: float) -> Wave:
    """Seconds since `start`, negative before it."""
    return TIME - start


def _decay(start: float, rate: float) -> Wave:
    """exp(−rate · t) from `start` on, zero before."""
    after = _since(start)
    return np.where(after >= 0, np.exp(-rate * np.maximum(after, 0)), 0.0)


def _pulse(start: float, length: float) -> Wave:
    """A half sine arch between `start` and `start + length`."""
    return np.sin(np.pi * np.clip(_since(start) / length, 0, 1))


def _tone(frequency: float | Wave, start: float = 0.0) -> Wave:
    """A sine; a frequency that varies in time is integrated from the beginning of the clip."""
    if isinstance(frequency, float):
        return np.sin(2 * np.pi * frequency * _since(start))
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE)


def _noise(draw: Draw, low: float, high: float) -> Wave:
    """Noise between two frequencies, with peak 1."""
    spectrum = np.fft.rfft(draw.normal(LENGTH))
    frequency = np.fft.rfftfreq(LENGTH, 1 / SAMPLE_RATE)
    wave: Wave = np.fft.irfft(spectrum * ((frequency > low) & (frequency < high)), LENGTH)
    wave /= np.abs(wave).max()
    return wave


def _silence() -> Wave:
    return np.zeros(LENGTH)


def _moments(draw: Draw, count: int, jitter: float = 0.08) -> list[float]:
    """`count` nearly even start times over the clip, in seconds."""
    return [2.0 * i / count + draw.uniform(0, jitter) for i in range(count)]


def _mug(draw: Draw) -> Wave:
    """Pouring: bubbles whose pitch rises as the mug fills, over a hiss."""
    wave = 0.18 * _noise(draw, 1000, 6000)
    for _ in range(draw.integer(22, 32)):
        start = draw.uniform(0.0, 1.95)
        pitch = draw.uniform(450, 800) * (1 + 0.5 * start) + 3000 * np.maximum(_since(start), 0)
        wave = wave + _tone(np.minimum(pitch, 4000)) * _decay(start, 40)
    return wave


def _chair(draw: Draw) -> Wave:
    """Creaks: a slow stick-slip pulse train of drifting rate through a woody resonance."""
    wave = _silence()
    for start in _moments(draw, draw.integer(2, 4), 0.2):
        length, rate = draw.uniform(0.35, 0.55), draw.uniform(45, 75)
        drift = rate * (1 + 0.8 * np.clip(_since(start) / length, 0, 1))
        phase = np.cumsum(drift) / SAMPLE_RATE % 1.0
        body = np.exp(-phase * draw.uniform(4, 6)) * np.sin(
            2 * np.pi * draw.uniform(700, 1100) * phase / rate
        )
        wave = wave + _pulse(start, length) * body
    return wave


def _table(draw: Draw) -> Wave:
    """Knocks on wood, in groups of three or so."""
    wave = _silence()
    pitch, pace = draw.uniform(170, 260), draw.uniform(0.16, 0.24)
    for group in (0.05, draw.uniform(1.0, 1.15)):
        for k in range(draw.integer(2, 5)):
            start = group + pace * k
            wave = wave + _tone(pitch, start) * _decay(start, 45)
            wave = wave + 0.5 * _tone(2.7 * pitch, start) * _decay(start, 80)
            wave = wave + 0.3 * _noise(draw, 300, 2000) * _decay(start, 150)
    return wave


def _house(draw: Draw) -> Wave:
    """A two-tone doorbell."""
    pitch, start = draw.uniform(560, 740), draw.uniform(0.05, 0.25)
    wave = _silence()
    for begin, tone in ((start, pitch), (start + draw.uniform(0.5, 0.8), 0.79 * pitch)):
        bell = _tone(tone, begin) + 0.25 * _tone(3 * tone, begin)
        wave = wave + bell * _decay(begin, draw.uniform(2.5, 3.5))
    return wave


def _tree(draw: Draw) -> Wave:
    """Wind in the leaves, with chirping birds."""
    gust = 1 + 0.8 * np.sin(2 * np.pi * draw.uniform(0.5, 1.5) * TIME + draw.uniform(0, 6))
    wave = 0.8 * _noise(draw, 1500, 7000) * gust
    for _ in range(draw.integer(2, 5)):
        start, length = draw.uniform(0.0, 1.7), draw.uniform(0.12, 0.2)
        chirp = draw.uniform(3000, 4300) + 9000 * np.clip(_since(start), 0, length)
        wave = wave + 0.7 * _tone(chirp) * _pulse(start, length)
    return wave


def _mushroom(draw: Draw) -> Wave:
    """Soft low pops with a falling pitch, sparse."""
    wave = _silence()
    for start in _moments(draw, draw.integer(5, 9), 0.1):
        pitch = draw.uniform(260, 420) * (0.45 + 0.55 * _decay(start, 25))
        wave = wave + _tone(pitch) * _decay(start, 16) * np.clip(_since(start) / 0.01, 0, 1)
    return wave


def _snowman(draw: Draw) -> Wave:
    """Sleigh bells: a jingle of very high partials."""
    wave = _silence()
    for start in _moments(draw, draw.integer(6, 11), 0.03):
        pitch = draw.uniform(4000, 5400)
        wave = wave + (_tone(pitch, start) + _tone(1.31 * pitch, start)) * _decay(start, 14)
    return wave


def _rocket(draw: Draw) -> Wave:
    """A swelling low roar."""
    swell = np.clip(TIME / draw.uniform(0.3, 1.2), 0.05, 1)
    return _noise(draw, 30, 2500) * swell + _noise(draw, 20, 200) * swell


def _car(draw: Draw) -> Wave:
    """An engine: many harmonics of a low tone that revs up and down."""
    pace = draw.uniform(48, 85)
    rev = pace * (1 + draw.uniform(0.1, 0.4) * np.sin(np.pi * TIME * draw.uniform(0.4, 1.0)) ** 2)
    phase = 2 * np.pi * np.cumsum(rev) / SAMPLE_RATE
    wave = sum((np.sin(k * phase + draw.uniform(0, 6)) / k for k in range(1, 14)), start=_silence())
    wobble = 1 + 0.4 * np.sin(2 * np.pi * draw.uniform(5, 10) * TIME)
    return wave * wobble + 0.3 * _noise(draw, 50, 900)


def _bell(draw: Draw) -> Wave:
    """Returns one strike, or two, with a bell's inharmonic partials and a long decay."""
    pitch = draw.uniform(350, 850)
    partials = ((1.0, 1.0, 1.4), (0.7, 2.0, 2.1), (0.6, 2.4, 2.7), (0.4, 3.0, 3.4), (0.3, 4.5, 5))
    starts = [draw.uniform(0.0, 0.3)]
    if draw.bernoulli(0.4):
        starts.append(starts[0] + draw.uniform(0.8, 1.0))
    wave = _silence()
    for start in starts:
        for level, ratio, rate in partials:
            wave = wave + level * _tone(pitch * ratio, start) * _decay(start, rate)
    return wave


def _drum(draw: Draw) -> Wave:
    """Beats: a low tone with a falling pitch and a snap of noise."""
    wave = _silence()
    for start in _moments(draw, draw.integer(3, 7)):
        pitch = draw.uniform(70, 110) * (1 + 1.2 * _decay(start, 22))
        wave = wave + _tone(pitch) * _decay(start, 10)
        wave = wave + 0.4 * _noise(draw, 200, 3500) * _decay(start, 45)
    return wave


def _lamp(draw: Draw) -> Wave:
    """The click of a switch, then mains hum."""
    start, mains = draw.uniform(0.15, 0.45), 50.0 if draw.bernoulli(0.5) else 60.0
    hum = sum(
        (_tone(mains * k) * a for k, a in ((2, 1.0), (4, 0.6), (6, 0.35), (8, 0.2))),
        start=_silence(),
    )
    click = _noise(draw, 1500, 7500) * (_decay(start, 250) + 0.6 * _decay(start + 0.05, 300))
    return 2.5 * click + 0.45 * hum * (_since(start) > 0)


def _teapot(draw: Draw) -> Wave:
    """A whistle that rises and trembles, with steam."""
    pitch = draw.uniform(1800, 2600) + draw.uniform(150, 450) * TIME
    tremble = 60 * np.sin(2 * np.pi * draw.uniform(6, 10) * TIME)
    return _tone(pitch + tremble) * np.clip(TIME / 0.3, 0.1, 1) + 0.3 * _noise(draw, 3000, 7500)


def _airplane(draw: Draw) -> Wave:
    """A propeller passing by: a drone that swells and falls in pitch."""
    middle, width = draw.uniform(0.6, 1.4), draw.uniform(0.6, 1.0)
    pitch = draw.uniform(95, 145) * (1 - 0.12 * np.tanh((TIME - middle) / 0.4))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    drone = sum((np.sin(k * phase) / k**0.5 for k in range(1, 9)), start=_silence())
    return (drone + 0.7 * _noise(draw, 1000, 5000)) * np.exp(-(((TIME - middle) / width) ** 2))


def _duck(draw: Draw) -> Wave:
    """Quacks: short nasal tones with strong harmonics between 0.8 and 2.2 kHz."""
    wave = _silence()
    for start in _moments(draw, draw.integer(2, 6), 0.12):
        length, pitch = draw.uniform(0.16, 0.26), draw.uniform(270, 400)
        fall = pitch * (1 - 0.25 * np.clip(_since(start) / length, 0, 1))
        phase = 2 * np.pi * np.cumsum(fall) / SAMPLE_RATE
        for k in range(1, 11):
            level = 1.0 if 800 < pitch * k < 2200 else 0.25
            wave = wave + level * np.sin(k * phase) * _pulse(start, length)
    return wave


def _robot(draw: Draw) -> Wave:
    """Beeps: square tones of random pitches in a fixed rhythm."""
    count = draw.integer(5, 11)
    wave = _silence()
    for k in range(count):
        start, length = 2.0 * k / count, 1.6 / count
        inside = (_since(start) > 0) & (_since(start) < length)
        wave = wave + inside * np.sign(_tone(draw.uniform(500, 2400)))
    return wave


def _boat(draw: Draw) -> Wave:
    """A long low horn over the wash of waves."""
    pitch, start, length = draw.uniform(140, 200), draw.uniform(0.1, 0.5), draw.uniform(0.9, 1.3)
    gate = np.clip(_since(start) / 0.08, 0, 1) * np.clip((start + length - TIME) / 0.15, 0, 1)
    horn = sum(
        (_tone(pitch * k * d) / k**0.8 for k in range(1, 7) for d in (1.0, 1.26)),
        start=_silence(),
    )
    swash = 0.6 + 0.4 * np.sin(2 * np.pi * draw.uniform(0.4, 0.8) * TIME + draw.uniform(0, 6))
    return horn * gate + 1.2 * _noise(draw, 200, 1500) * swash


_VOICES: dict[str, Callable[[Draw], Wave]] = {
    "mug": _mug,
    "chair": _chair,
    "table": _table,
    "house": _house,
    "tree": _tree,
    "mushroom": _mushroom,
    "snowman": _snowman,
    "rocket": _rocket,
    "car": _car,
    "bell": _bell,
    "drum": _drum,
    "lamp": _lamp,
    "teapot": _teapot,
    "airplane": _airplane,
    "duck": _duck,
    "robot": _robot,
    "boat": _boat,
}
