"""Hash grid, ray march and compositing once more: float64, one scalar at a time, no xbind."""

import math
from itertools import product

import numpy as np


def hash_grid(x, table, resolutions):
    """Sum over all eight vertices of the cell, with the table index spelled out in words."""
    levels, entries, features = table.shape
    out = np.zeros((len(x), levels, features))
    for p, level in product(range(len(x)), range(levels)):
        r = resolutions[level]
        place = [min(max(c, 0.0), 1.0) * r for c in x[p]]
        cell = [min(math.floor(c), r - 1) for c in place]
        for vertex in product(*((c, c + 1) for c in cell)):
            weight = math.prod(1 - abs(c - v) for c, v in zip(place, vertex, strict=True))
            if (r + 1) ** 3 <= entries:
                entry = int(np.ravel_multi_index(vertex[::-1], (r + 1,) * 3))
            else:
                wrapped = [
                    (v * prime) % 2**32
                    for v, prime in zip(vertex, (1, 2654435761, 805459861), strict=True)
                ]
                entry = (wrapped[0] ^ wrapped[1] ^ wrapped[2]) % entries
            out[p, level] += weight * table[level, entry]
    return out.reshape(len(x), -1)


def march(origins, directions, occupancy, radius, step, jitter):
    """Every (ray, t) of the walk; entry and exit are roots of |o + t d|² = radius²."""
    kept = []
    for ray, (o, d) in enumerate(zip(origins, directions, strict=True)):
        b, c = 2 * o @ d, o @ o - radius**2
        if b * b - 4 * (d @ d) * c <= 0:
            continue
        entry, leave = sorted(np.roots([d @ d, b, c]).real)
        entry, k = max(entry, 0.0), 0
        while (t := entry + (k + jitter[ray]) * step) < leave:
            p = o + t * d
            side = len(occupancy)
            cell = tuple(math.floor((q + radius) / (2 * radius) * side) for q in p)
            if occupancy[cell]:
                kept.append((ray, t))
            k += 1
    return kept


def composite(density, colour, t, dt, offsets):
    """Front-to-back blending by its own recurrence; the variance by the pairwise formula."""
    rays = len(offsets) - 1
    out = {
        "colour": np.zeros((rays, 3)),
        "opacity": np.zeros(rays),
        "depth": np.zeros(rays),
        "z_variance": np.zeros(rays),
        "weights": np.zeros(len(t)),
    }
    for ray in range(rays):
        mine = range(offsets[ray], offsets[ray + 1])
        light = 1.0
        for i in mine:
            after = light * math.exp(-density[i] * dt[i])
            out["weights"][i] = w = light - after
            out["colour"][ray] += w * colour[i]
            out["depth"][ray] += w * t[i]
            light = after
        out["opacity"][ray] = mass = 1.0 - light
        if mass > 1e-6:
            for i, j in product(mine, mine):  # Var = ½ Σ p_i p_j (t_i − t_j)²: no mean is formed
                pair = out["weights"][i] * out["weights"][j] / mass**2
                out["z_variance"][ray] += 0.5 * pair * (t[i] - t[j]) ** 2
    return out
