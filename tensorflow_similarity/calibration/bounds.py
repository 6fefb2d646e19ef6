"""Exact confidence bounds of proportions, and of metrics derived from them."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.calibration.counts import Counts
from tensorflow_similarity.classification_metrics import ClassificationMetric

__all__ = ["lower_bound", "metric_bound", "upper_bound"]


def lower_bound(successes: ArrayLike, trials: ArrayLike, confidence: float) -> np.ndarray:
    """The exact (Clopper-Pearson) one-sided lower bound of a probability.

    The p at which P(X >= successes) = 1 - confidence: at any smaller p, so many successes would be
    less likely than that. 0 if there were no trials.

    Args:
        successes: Counts, array of any shape.
        trials: Counts, of the same shape.
        confidence: Between 0 and 1.

    Reference:
        Clopper and Pearson, *The use of confidence or fiducial limits
        illustrated in the case of the binomial*, Biometrika 1934.
    """
    import tensorflow as tf

    s, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    some = s > 0
    a, b = np.where(some, s, 1.0), np.where(some, n - s + 1, 1.0)
    low, high = np.zeros(s.shape), np.ones(s.shape)
    # P(X >= s) is the incomplete beta function, which grows with p.
    for _ in range(50):
        middle = (low + high) / 2
        above = np.asarray(tf.math.betainc(a, b, middle)) > 1 - confidence
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(some, low, 0.0)


def upper_bound(successes: ArrayLike, trials: ArrayLike, confidence: float) -> np.ndarray:
    """The exact one-sided upper bound; 1 if there were no trials."""
    successes, trials = np.asarray(successes), np.asarray(trials)
    return 1.0 - lower_bound(trials - successes, trials, confidence)


def metric_bound(
    metric: ClassificationMetric, counts: Counts, confidence: float
) -> np.ndarray | None:
    """Pessimistic one-sided bound of a classification metric at each threshold.

    Each metric is a proportion of independent queries, or increases with one (F1 with
    TP / (TP + FP + FN)).

    Returns:
        float64 `[thresholds]`, or None for a custom metric.
    """
    tp, fp, tn, fn = counts.tp, counts.fp, counts.tn, counts.fn
    if metric.canonical_name == "f1_score":
        share = lower_bound(tp, tp + fp + fn, confidence)
        return 2 * share / (1 + share)
    if metric.canonical_name == "false_positive_rate":
        return upper_bound(fp, fp + tn, confidence)
    proportions = {
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "binary_accuracy": (tp, tp + fp + tn + fn),
        "negative_predictive_value": (tn, tn + fn),
    }
    if metric.canonical_name not in proportions:
        return None
    return lower_bound(*proportions[metric.canonical_name], confidence)
