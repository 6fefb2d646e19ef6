"""Confidence bounds: against the binomial sums, and how often they hold."""

import math

import numpy as np
import pytest

from tensorflow_similarity.calibration import calibrate
from tensorflow_similarity.calibration.bounds import lower_bound, metric_bound, upper_bound
from tensorflow_similarity.calibration.counts import Counts
from tensorflow_similarity.classification_metrics import (
    ClassificationMetric,
    make_classification_metric,
)

METRICS = ["precision", "recall", "f1", "binary_accuracy", "npv", "fpr"]


def at_least(successes, trials, p):
    """P(X >= successes) of a binomial, term by term."""
    return sum(
        math.comb(trials, i) * p**i * (1 - p) ** (trials - i) for i in range(successes, trials + 1)
    )


@pytest.mark.parametrize(
    ("successes", "trials"), [(1, 1), (1, 30), (15, 30), (29, 30), (30, 30), (297, 300)]
)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_bound_solves_its_equation(successes, trials, confidence):
    p = float(lower_bound(successes, trials, confidence))
    assert at_least(successes, trials, p) == pytest.approx(1 - confidence, rel=1e-6)
    assert float(upper_bound(trials - successes, trials, confidence)) == pytest.approx(1 - p)


def test_no_successes_and_no_trials():
    np.testing.assert_array_equal(lower_bound([0, 0], [5, 0], 0.95), [0, 0])
    np.testing.assert_array_equal(upper_bound([5, 0], [5, 0], 0.95), [1, 1])
    # The rule of three: 0 of 300 is below 1% with 95% confidence.
    assert float(upper_bound(0, 300, 0.95)) == pytest.approx(3 / 300, rel=0.01)


@pytest.mark.parametrize("name", METRICS)
def test_metric_bounds_hold_as_often_as_they_say(name):
    # The outcomes of 200 queries at a fixed threshold, drawn 2,000 times.
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.1, 0.25, 0.15])
    counts = Counts(*rng.multinomial(200, shares, size=2000).T)
    metric = make_classification_metric(name)
    truth = float(metric.compute(*shares, count=1))
    bound = metric_bound(metric, counts, 0.9)
    held = (bound >= truth if name == "fpr" else bound <= truth).mean()
    assert 0.885 <= held <= 0.96


def test_bounds_are_reported_and_can_be_what_targets_are_held_by():
    rng = np.random.default_rng(0)
    distances = rng.random((2000, 1)).astype(np.float32)
    found = np.ones((2000, 1), int)
    labels = np.where(rng.random(2000) < distances[:, 0] ** 3, 2, 1)
    targets = {"p": {"precision": 0.95}, "f": {"fpr": 0.05}, "r": {"recall": 0.9}}
    plain = calibrate(distances, found, labels, targets)
    strict = calibrate(distances, found, labels, targets, guarantee=True)
    assert plain.bounds["p"]["precision"] < 0.95 <= plain.cutpoints["p"]["precision"]
    assert plain.bounds["f"]["fpr"] > 0.05 >= plain.cutpoints["f"]["fpr"]
    assert strict.bounds["p"]["precision"] >= 0.95
    assert strict.bounds["f"]["fpr"] <= 0.05
    assert strict.bounds["r"]["recall"] >= 0.9
    assert strict.distance("p") < plain.distance("p")
    assert strict.distance("f") < plain.distance("f")
    assert strict.distance("r") > plain.distance("r")


def test_a_metric_without_a_bound():
    class Coverage(ClassificationMetric):
        def compute(self, tp, fp, tn, fn, count):
            return (tp + fp) / count

    arguments = [[0.1], [0.2]], [[1], [2]], [1, 3]
    result = calibrate(*arguments, {"c": {Coverage("coverage"): 0.5}})
    assert result.cutpoints["c"]["coverage"] == 0.5
    assert "coverage" not in result.bounds["c"]
    with pytest.raises(ValueError, match="guarantee"):
        calibrate(*arguments, {"c": {Coverage("coverage"): 0.5}}, guarantee=True)
