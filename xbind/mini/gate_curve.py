"""How many samples a 2D prior lacks: `python -m xbind.mini.gate_curve GATE.JSON GATE.JSON …`.

Reads what `python -m xbind.mini.gate --out` wrote for several checkpoints of one training, beside
the same old prior. The distance of each figure from that of the VAE's copies of real views, which
no prior can beat, is fitted by a power law c·n^−p of the training samples n (least squares of the
logarithms), and extended to where the new prior equals the old one.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xbind.errors import XBindError
from xbind.mini.gate import COMPARED

LEAST = 3
"""Checkpoints that a fit with an error needs."""
DRAWS = 20_000
"""Draws of the fit's coefficients."""
INTERVAL = (16.0, 84.0)
"""Percentiles of the reported interval."""

Floats = NDArray[np.float64]
Figures = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, eq=False)
class PowerLaw:
    """log y = intercept − exponent · log n."""

    intercept: float
    exponent: float
    covariance: Floats
    """[2, 2], of intercept and exponent."""
    freedom: int
    """Degrees of freedom: points − 2."""

    def samples_for(self, level: float, seed: int = 0) -> tuple[float, float, float]:
        """Samples at which y falls to `level`: the fit's, and the interval of its draws.

        A draw whose curve does not fall never gets there: infinity.
        """
        rng = np.random.default_rng(seed)
        normal = rng.multivariate_normal(np.zeros(2), self.covariance, DRAWS, method="svd")
        # Student's t: the residuals' spread is itself estimated from few points
        wide = np.sqrt(self.freedom / rng.chisquare(self.freedom, DRAWS))[:, None]
        drawn = np.array([self.intercept, self.exponent]) + normal * wide
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            found = np.exp((drawn[:, 0] - np.log(level)) / drawn[:, 1])
            found[drawn[:, 1] <= 0] = np.inf
            best = np.exp((self.intercept - np.log(level)) / self.exponent)
        low, high = np.percentile(found, INTERVAL, method="nearest")
        return float(best) if self.exponent > 0 else np.inf, float(low), float(high)


def fit(samples: Floats, excess: Floats) -> PowerLaw:
    """Fit a power law to at least `LEAST` positive values.

    Raises:
        XBindError: there are fewer, or a value is not above zero.
    """
    if len(samples) < LEAST or (excess <= 0).any():
        raise XBindError(
            f"A power law needs {LEAST} checkpoints that are farther from real views than the "
            f"VAE's copies are; of {len(samples)}, {int((excess > 0).sum())} are.\n"
            "Measure more checkpoints."
        )
    design = np.stack([np.ones(len(samples)), -np.log(samples)], 1)
    found, *_ = np.linalg.lstsq(design, np.log(excess), rcond=None)
    residual = np.log(excess) - design @ found
    variance = (residual**2).sum() / (len(samples) - 2)
    covariance = variance * np.linalg.inv(design.T @ design)
    return PowerLaw(float(found[0]), float(found[1]), covariance, len(samples) - 2)


def lacking(rows: Sequence[Figures], name: str) -> str:
    """What the curve of a figure says, as a sentence; rows are contents of `gate.json`."""
    sign = COMPARED[name]
    samples = np.array([row["new"]["training_samples"] for row in rows], float)
    best = float(np.mean([row["new"][f"vae_{name}"] for row in rows]))
    excess = np.array([sign * (best - row["new"][name]) for row in rows])
    level = sign * (best - float(np.mean([row["old"][name] for row in rows])))
    if level <= 0:
        return (
            f"{name}: the old prior ({best - sign * level:.4f}) is beyond what the new VAE's "
            f"copies reach ({best:.4f}), so no number of samples is enough."
        )
    law = fit(samples, excess)
    found, low, high = law.samples_for(level)
    now, error = samples.max(), float(np.sqrt(law.covariance[1, 1]))
    return (
        f"{name}: distance from the VAE's copies falls as n^-{law.exponent:.2f} (± {error:.2f}); "
        f"{excess[samples.argmax()]:.4f} at {now:.3g} samples, the old prior's is {level:.4f}: "
        f"reached at {found:.2g} samples ({low:.2g} to {high:.2g})."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the curve of every figure that decides."""
    parser = argparse.ArgumentParser(
        prog="python -m xbind.mini.gate_curve", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("gates", nargs="+", type=Path, help="gate.json of each checkpoint")
    given = parser.parse_args(arguments)
    try:
        rows = [_read(path) for path in given.gates]
        for name in COMPARED:
            sys.stdout.write(lacking(rows, name) + "\n")
    except XBindError as error:
        sys.exit(f"xbind.mini.gate_curve: {error}")


def _read(path: Path) -> Figures:
    """The content of a `gate.json`.

    Raises:
        XBindError: it is none.
    """
    try:
        content: Figures = json.loads(path.read_bytes())
        wanted = [*COMPARED, *(f"vae_{name}" for name in COMPARED), "training_samples"]
        for name in wanted:
            float(content["new"][name])
        for name in COMPARED:
            float(content["old"][name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise XBindError(
            f"{path} is no gate.json of a bundle that counts its samples ({error!r}).\n"
            "Make it with:  python -m xbind.mini.gate --out FOLDER"
        ) from error
    return content


if __name__ == "__main__":
    main()
