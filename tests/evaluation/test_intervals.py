"""Confidence intervals: what is drawn, and how often they cover the truth."""

import numpy as np
import pytest

from tensorflow_similarity.evaluation.bootstrap import ClassSums, interval
from tensorflow_similarity.evaluation.result import EvaluationResult


def result_of(values, labels, **options):
    return EvaluationResult({"m": np.asarray(values, float)}, np.asarray(labels), **options)


def test_resampling_is_drawing_whole_classes():
    rng = np.random.default_rng(0)
    classes = rng.integers(5, size=40)
    values = rng.random((2, 40))
    micro, macro = ClassSums(values, classes, 5).resample(np.random.default_rng(1), 50)
    drawn = np.random.default_rng(1).integers(5, size=(50, 5))
    for i, draw in enumerate(drawn):
        joined = np.concatenate([values[:, classes == c] for c in draw], axis=1)
        np.testing.assert_allclose(micro[i], joined.mean(axis=1))
        means = [values[:, classes == c].mean(axis=1) for c in draw]
        np.testing.assert_allclose(macro[i], np.mean(means, axis=0))


def test_draws_do_not_depend_on_the_chunks(monkeypatch):
    from tensorflow_similarity.evaluation import bootstrap

    sums = ClassSums(np.random.default_rng(0).random((1, 60)), np.arange(60) % 20, 20)
    whole = sums.resample(np.random.default_rng(0), 101)
    monkeypatch.setattr(bootstrap, "_CHUNK_ELEMENTS", 200)
    np.testing.assert_allclose(sums.resample(np.random.default_rng(0), 101), whole, rtol=1e-12)


def test_interval_is_of_the_level_asked_for():
    ends = interval(np.arange(1001)[:, None] / 1000, 0.9)
    np.testing.assert_allclose(ends[:, 0], [0.05, 0.95])
    rng = np.random.default_rng(0)
    values, labels = rng.random(400), np.arange(400) % 40
    narrow = result_of(values, labels, confidence=0.5).interval("m")
    wide = result_of(values, labels, confidence=0.99).interval("m")
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]
    assert result_of(values, labels).interval("m") == result_of(values, labels).interval("m")
    assert result_of(values, labels, seed=1).interval("m") != result_of(values, labels).interval(
        "m"
    )


def test_dependence_within_classes_widens_the_interval():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(30), 50)
    dependent = rng.random(30)[labels]
    shuffled = rng.permutation(dependent)

    def width(values):
        low, high = result_of(values, labels).interval("m")
        return high - low

    # 50 equal values say as much as one: sqrt(50) times as wide.
    assert width(dependent) / width(shuffled) == pytest.approx(50**0.5, rel=0.25)


def test_one_class_has_no_interval():
    result = result_of([0.1, 0.4], [3, 3])
    assert np.isnan(result.interval("m")).all()
    assert result["m"] == pytest.approx(0.25)


@pytest.mark.parametrize("average", ["micro", "macro"])
@pytest.mark.further("micro")
def test_coverage(average):
    # Class means around 0.6, queries around their class: 95% of intervals hold 0.6.
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        sizes = rng.integers(5, 15, size=60)
        labels = np.repeat(np.arange(60), sizes)
        values = 0.6 + 0.2 * rng.normal(size=60)[labels] + 0.3 * rng.normal(size=len(labels))
        low, high = result_of(values, labels).interval("m", average)
        covered += low <= 0.6 <= high
    assert 0.90 <= covered / 200 <= 0.985
