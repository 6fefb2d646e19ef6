"""Soft histograms against loops, value and gradient, in NumPy and in graphs."""

import numpy as np
import pytest
import tensorflow as tf

from tensorflow_similarity.losses import FastAPLoss, ranking_losses
from tensorflow_similarity.losses.ranking_losses import soft_histograms

RNG = np.random.default_rng(0)
VALUES = np.vstack([RNG.uniform(-0.05, 2.05, size=(4, 9)), np.linspace(0, 2, 9)[None]])
PART = RNG.integers(0, 3, size=(5, 9))
MASKS = PART == 1, PART == 2


def loops(values, bins, maximum):
    return np.hstack([loops_of_one(values, mask, bins, maximum) for mask in MASKS])


def loops_of_one(values, mask, bins, maximum):
    out = np.zeros((len(values), bins + 1))
    width = maximum / bins
    for i, row in enumerate(values):
        for value, kept in zip(np.clip(row, 0, maximum), mask[i], strict=True):
            for node in range(bins + 1):
                out[i, node] += kept * max(0, 1 - abs(value - node * width) / width)
    return out


@pytest.mark.parametrize("bins", [1, 4, 10])
@pytest.mark.parametrize("way", ["numpy", "scatter", "graph", "xla"])
@pytest.mark.slow_cases("xla-10", "xla-1", "graph-10", "xla-4")
def test_value_and_gradient(monkeypatch, bins, way):
    if way == "scatter":
        monkeypatch.setattr(ranking_losses, "on_tensorflow_cpu", lambda: False)
    weights = RNG.normal(size=(5, 2 * (bins + 1)))

    def value_and_gradient(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            counts = tf.concat(soft_histograms(values, *MASKS, bins, 2.0), axis=1)
            total = tf.reduce_sum(counts * weights)
        return counts, tape.gradient(total, values)

    if way in ("graph", "xla"):
        value_and_gradient = tf.function(
            value_and_gradient, jit_compile=way == "xla", autograph=False
        )
    counts, gradient = value_and_gradient(tf.constant(VALUES))
    np.testing.assert_allclose(counts, loops(VALUES, bins, 2.0), rtol=1e-9, atol=1e-12)
    # Values at nodes have no derivative.
    inside = np.abs(VALUES * bins / 2 % 1 - 0.5) < 0.499
    for i, j in zip(*np.nonzero(inside), strict=True):
        ends = []
        for step in (1e-6, -1e-6):
            moved = VALUES.copy()
            moved[i, j] += step
            ends.append(np.sum(loops(moved, bins, 2.0) * weights))
        np.testing.assert_allclose(gradient[i, j], (ends[0] - ends[1]) / 2e-6, atol=1e-6)


def test_not_a_number_shows():
    x = np.random.default_rng(0).normal(size=(6, 3))
    x[2, 1] = np.nan
    assert np.isnan(FastAPLoss()([0, 0, 0, 1, 1, 1], x))
