"""Outcomes of matching at every threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tensorflow_similarity.classification_metrics import ClassificationMetric

__all__ = ["Counts", "count_outcomes"]


@dataclasses.dataclass(frozen=True)
class Counts:
    """True and false positives and negatives at each threshold, int64 `[thresholds]`."""

    tp: np.ndarray
    fp: np.ndarray
    tn: np.ndarray
    fn: np.ndarray

    @property
    def queries(self) -> int:
        """Number of queries."""
        return int(self.tp[0] + self.fp[0] + self.tn[0] + self.fn[0]) if len(self.tp) else 0

    @property
    def accepted(self) -> np.ndarray:
        """Queries accepted at each threshold."""
        return self.tp + self.fp

    def values(self, metrics: Sequence[ClassificationMetric]) -> dict[str, np.ndarray]:
        """Metric name -> float64 `[thresholds]`."""
        counts = (self.tp, self.fp, self.tn, self.fn, self.queries)
        return {metric.name: np.asarray(metric.compute(*counts), np.float64) for metric in metrics}


def count_outcomes(
    match_distances: np.ndarray, right: np.ndarray, thresholds: np.ndarray
) -> Counts:
    """Counts outcomes; a match at or below the threshold is accepted.

    Args:
        match_distances: float64 `[queries]`.
        right: bool `[queries]`, whether the match has the query's label.
        thresholds: float64 `[thresholds]`, in any order.
    """
    right_distances, wrong_distances = match_distances[right], match_distances[~right]
    tp = np.searchsorted(np.sort(right_distances), thresholds, side="right")
    fp = np.searchsorted(np.sort(wrong_distances), thresholds, side="right")
    return Counts(tp, fp, len(wrong_distances) - fp, len(right_distances) - tp)
