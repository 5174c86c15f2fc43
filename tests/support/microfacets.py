"""Microfacets and skies in float64, for Monte Carlo estimates."""

import math

import numpy as np

SUN = (0.48, -0.6, 0.64)
"""A unit vector along no axis."""


def on_sphere(count, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def radiance(coefficients, x):
    """The polynomial of degree 2 written out, in the order of the harmonics."""
    a, b, c = x.T
    root = math.sqrt
    terms = [
        np.full_like(a, 0.5 / root(math.pi)), root(3 / 4 / math.pi) * b,
        root(3 / 4 / math.pi) * c, root(3 / 4 / math.pi) * a,
        root(15 / 4 / math.pi) * a * b, root(15 / 4 / math.pi) * b * c,
        root(5 / 16 / math.pi) * (3 * c * c - 1), root(15 / 4 / math.pi) * a * c,
        root(15 / 16 / math.pi) * (a * a - b * b),
    ]  # fmt: skip
    return sum(k * t for k, t in zip(coefficients, terms, strict=True))


def ggx_halves(alpha, count, seed=0):
    """Cosines of microfacets about the normal, by GGX's cumulated distribution."""
    u = np.random.default_rng(seed).random(count)
    return np.sqrt((1 - u) / (1 + (alpha**2 - 1) * u))
