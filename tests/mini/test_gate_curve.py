"""Samples that a prior lacks, by a power law: against the curve that the points are of."""

import json

import numpy as np
import pytest

from xbind.errors import XBindError
from xbind.mini.gate import COMPARED
from xbind.mini.gate_curve import fit, lacking, main

SAMPLES = np.array([2e4, 4e4, 8e4, 1.6e5])


def row(samples, *, excess, level, best=0.1):
    """A gate.json in which every figure is `excess` worse than the VAE's copies."""
    new = {name: best - sign * excess for name, sign in COMPARED.items()}
    new |= {f"vae_{name}": best for name in COMPARED} | {"training_samples": samples}
    return {"new": new, "old": {name: best - sign * level for name, sign in COMPARED.items()}}


def test_a_power_law_is_found_and_extended():
    law = fit(SAMPLES, 30 * SAMPLES**-0.4)
    assert law.exponent == pytest.approx(0.4)
    found, low, high = law.samples_for(30 * 1e7**-0.4)
    assert found == pytest.approx(1e7, rel=1e-6)
    assert low == pytest.approx(1e7, rel=1e-3)
    assert high == pytest.approx(1e7, rel=1e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    hits, count = 0, 600
    for k in range(count):
        noisy = 30 * SAMPLES**-0.4 * np.exp(0.05 * rng.standard_normal(4))
        _, low, high = fit(SAMPLES, noisy).samples_for(30 * 1e6**-0.4, seed=k)
        hits += low <= 1e6 <= high
    assert 0.63 < hits / count < 0.73  # a normal one would hold it in 58 % of the cases


def test_a_curve_that_does_not_fall_gets_nowhere():
    assert fit(SAMPLES, 0.1 * SAMPLES**0.1).samples_for(0.01)[0] == np.inf


def test_each_figure_is_told_with_its_direction(tmp_path, capsys):
    paths = []
    for k, samples in enumerate(SAMPLES):
        paths.append(tmp_path / f"{k}.json")
        content = row(samples, excess=30 * samples**-0.4, level=30 * 2e6**-0.4)
        paths[-1].write_text(json.dumps(content))
    main([str(path) for path in paths])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(COMPARED)
    assert all("n^-0.40" in line and "reached at 2e+06 samples" in line for line in lines)


def test_a_vae_that_is_too_weak_is_named():
    rows = [row(n, excess=30 * n**-0.4, level=-0.02) for n in SAMPLES]
    for name in COMPARED:
        assert "no number of samples is enough" in lacking(rows, name)


def test_too_few_points_and_other_files_are_refused(tmp_path):
    with pytest.raises(XBindError, match="needs 3 checkpoints"):
        fit(SAMPLES[:2], np.array([0.2, 0.1]))
    with pytest.raises(XBindError, match="of 4, 3 are"):
        fit(SAMPLES, np.array([0.3, 0.2, 0.1, -0.1]))
    path = tmp_path / "gate.json"
    path.write_text("{}")
    with pytest.raises(SystemExit, match=r"gate\.json .*\n.*xbind\.mini\.gate --out"):
        main([str(path)])
