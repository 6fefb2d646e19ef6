"""Drift: the statistic, its p-value, and a verdict that is neither deaf nor jumpy."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats

from tensorflow_similarity.calibration import Calibration, calibrate, drift
from tensorflow_similarity.calibration.drift import _kolmogorov, _largest_gap


def calibrated(distances):
    labels = np.ones((len(distances), 1), int)
    return calibrate(np.asarray(distances)[:, None], labels, labels[:, 0])


def live(calibration, distances, **options):
    labels = np.ones((len(distances), 1), int)
    return drift(calibration, np.asarray(distances)[:, None], labels, **options)


@pytest.mark.parametrize("seed", range(5))
def test_statistic_and_p_value_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(500), rng.random(300) + 0.03 * seed
    expected = stats.ks_2samp(a, b, method="exact")
    gap = _largest_gap(a, b)
    assert abs(gap) == pytest.approx(expected.statistic)
    assert _largest_gap(b, a) == pytest.approx(-gap)
    assert np.sign(gap) == expected.statistic_sign
    assert _kolmogorov(expected.statistic, 500, 300) == pytest.approx(expected.pvalue, rel=0.2)


def test_p_value_at_its_ends():
    assert _kolmogorov(0, 100, 100) == 1
    assert _kolmogorov(1, 1000, 1000) == pytest.approx(0, abs=1e-12)
    grid = [_kolmogorov(d, 50, 80) for d in np.linspace(0, 1, 200)]
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(grid))


def test_silent_without_drift():
    rng = np.random.default_rng(0)
    calibration = calibrated(rng.random(800))
    reports = [live(calibration, rng.random(200)) for _ in range(100)]
    assert sum(report.drifted for report in reports) <= 2
    assert "No drift" in str(reports[0])


@pytest.mark.parametrize(("shift", "words"), [(0.4, "farther from"), (-0.4, "nearer to")])
def test_drift_is_named(shift, words):
    rng = np.random.default_rng(0)
    calibration = calibrated(1 + rng.random(800))
    report = live(calibration, 1 + shift + rng.random(200))
    assert report.drifted is True
    assert words in report.verdict
    assert "Calibrate again" in report.verdict
    assert report.median == pytest.approx(report.calibration_median + shift, abs=0.1)
    accepted = report.accepted["optimal"]
    assert accepted == pytest.approx(0.6 if shift > 0 else 1, abs=0.08)
    assert f"{accepted:.0%}" in report.verdict


def test_significant_but_small_is_no_drift():
    rng = np.random.default_rng(0)
    calibration = calibrated(rng.random(30_000))
    report = live(calibration, rng.random(30_000) + 0.05)
    assert report.p_value < 1e-6
    assert report.drifted is False
    assert live(calibration, rng.random(30_000) + 0.05, smallest_shift=0.01).drifted is True


def test_too_few_to_tell():
    report = live(calibrated(np.linspace(0, 1, 100)), [5.0] * 10)
    assert report.drifted is None
    assert "Too few" in report.verdict


def test_queries_without_any_neighbour():
    calibration = calibrated(np.linspace(0, 1, 100))
    report = live(calibration, [np.inf] * 50)
    assert report.accepted["optimal"] == 0
    assert report.statistic == 1


def test_works_after_saving():
    rng = np.random.default_rng(0)
    calibration = calibrated(rng.random(5000))
    again = Calibration.from_config(json.loads(json.dumps(calibration.get_config())))
    assert live(again, np.linspace(0, 2, 100)) == live(calibration, np.linspace(0, 2, 100))


def test_bad_input():
    with pytest.raises(ValueError, match="reference"):
        live(Calibration({}, {}), [0.1])
    with pytest.raises(ValueError, match="number of queries"):
        drift(calibrated([0.1]), np.zeros((0, 1)), np.zeros((0, 1), int))
