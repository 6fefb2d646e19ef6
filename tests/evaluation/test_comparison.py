"""Paired comparison: the p-value by enumeration, and how often it is wrong."""

import itertools

import numpy as np
import pytest

from tensorflow_similarity.evaluation import compare, evaluate
from tensorflow_similarity.evaluation import comparison as module
from tensorflow_similarity.evaluation.result import EvaluationResult


def result_of(values, labels):
    return EvaluationResult({"m": np.asarray(values, float)}, np.asarray(labels))


def test_p_value_counts_all_swaps_of_classes():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    a, b = rng.random(21) + 0.2, rng.random(21)
    difference = a - b
    observed = abs(difference.sum())
    extreme = [
        abs(sum(s * difference[labels == c].sum() for c, s in enumerate(signs))) >= observed - 1e-9
        for signs in itertools.product([1, -1], repeat=6)
    ]
    result = compare(result_of(a, labels), result_of(b, labels))
    assert result.p_values["m"] == pytest.approx(np.mean(extreme))
    assert result.difference["m"] == pytest.approx(difference.mean())
    assert result.queries == 21
    assert result.classes == 6


def test_drawn_swaps_agree_with_all_swaps(monkeypatch):
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(12), 3)
    a, b = result_of(rng.random(36) + 0.1, labels), result_of(rng.random(36), labels)
    exact = compare(a, b).p_values["m"]
    monkeypatch.setattr(module, "_ENUMERABLE", 2)
    assert 0.02 < exact < 0.98
    assert compare(a, b).p_values["m"] == pytest.approx(exact, abs=0.02)


def test_equal_models_differ_in_one_of_twenty():
    # Values depend on the class: a test of single queries would cry wolf.
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(10), 20)
    p_values, covered = [], 0
    for _ in range(300):
        a, b = (0.2 * rng.normal(size=10)[labels] + rng.random(200) for _ in range(2))
        result = compare(result_of(a, labels), result_of(b, labels))
        p_values.append(result.p_values["m"])
        low, high = result.intervals["m"]
        covered += low <= 0 <= high
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.085
    assert covered / 300 > 0.85  # Ten classes: somewhat too narrow, as documented.


def test_same_model_twice():
    labels = np.repeat(np.arange(5), 4)
    result = result_of(np.random.default_rng(0).random(20), labels)
    same = compare(result, result)
    assert same.difference["m"] == 0
    assert same.p_values["m"] == 1
    assert same.intervals["m"] == (0, 0)


def test_of_evaluations():
    rng = np.random.default_rng(0)
    labels = np.append(np.repeat(np.arange(20), 5), 99)
    noise = rng.normal(size=(101, 20))
    clean = np.eye(20)[np.minimum(labels, 19)]
    good, bad = evaluate(clean + 0.2 * noise, labels), evaluate(clean + 0.5 * noise, labels)
    result = compare(good, bad)
    assert set(result.difference) == set(good)
    assert result.p_values["map@r"] < 0.01
    assert result.intervals["map@r"][0] > 0
    assert result.queries == 100
    swapped = compare(bad, good)
    assert swapped.difference["map@r"] == -result.difference["map@r"]
    text = str(result)
    assert "map@r" in text
    assert "+0." in text


def test_bad_input():
    labels = np.repeat(np.arange(4), 3)
    one = result_of(np.ones(12), labels)
    with pytest.raises(ValueError, match="same queries"):
        compare(one, result_of(np.ones(12), labels[::-1]))
    with pytest.raises(ValueError, match="metric in common"):
        compare(one, EvaluationResult({"n": np.ones(12)}, labels))
    with pytest.raises(ValueError, match="leave out the same"):
        compare(one, result_of([np.nan] + [1] * 11, labels))
    with pytest.raises(ValueError, match="two classes"):
        compare(result_of([1, 2], [0, 0]), result_of([1, 2], [0, 0]))
    with pytest.raises(ValueError, match="confidence"):
        compare(one, one, confidence=0)
