"""Outcomes of matching at each threshold."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.classification_metrics import ClassificationMetric
from tensorflow_similarity.evaluation import MatchSets

__all__ = ["Counts", "count_outcomes", "warn_of_cut_sets"]


@dataclasses.dataclass(frozen=True)
class Counts:
    """True and false positives and negatives at each threshold, int64 `[thresholds]`.

    With match sets, also their row-wise F1, float64 `[thresholds]`.
    """

    tp: np.ndarray
    fp: np.ndarray
    tn: np.ndarray
    fn: np.ndarray
    row_f1: np.ndarray | None = None

    @property
    def queries(self) -> int:
        """Number of queries."""
        return int(self.tp[0] + self.fp[0] + self.tn[0] + self.fn[0]) if len(self.tp) else 0

    @property
    def accepted(self) -> np.ndarray:
        """Number of queries accepted at each threshold."""
        return self.tp + self.fp

    def values(self, metrics: Sequence[ClassificationMetric]) -> dict[str, np.ndarray]:
        """Metric name -> float64 `[thresholds]`."""
        counts = (self.tp, self.fp, self.tn, self.fn, self.queries)

        def of(metric: ClassificationMetric) -> np.ndarray:
            if metric.needs_sets and self.row_f1 is not None:
                return metric.of_sets(self.row_f1)
            return metric.compute(*counts)

        return {metric.name: np.asarray(of(metric), np.float64) for metric in metrics}


def count_outcomes(
    match_distances: np.ndarray,
    right: np.ndarray,
    thresholds: np.ndarray,
    match_sets: MatchSets | None = None,
) -> Counts:
    """Counts outcomes; a match at or below the threshold is accepted.

    Args:
        match_distances: float64 `[queries]`.
        right: bool `[queries]`, whether the match has the query's label.
        thresholds: float64 `[thresholds]`, in any order.
        match_sets: The match sets of the queries, or None.
    """
    right_distances, wrong_distances = match_distances[right], match_distances[~right]
    tp = np.searchsorted(np.sort(right_distances), thresholds, side="right")
    fp = np.searchsorted(np.sort(wrong_distances), thresholds, side="right")
    row_f1 = None if match_sets is None else match_sets.f1(thresholds)
    return Counts(tp, fp, len(wrong_distances) - fp, len(right_distances) - tp, row_f1)


def warn_of_cut_sets(match_sets: MatchSets, cutpoints: dict[str, dict[str, Any]]) -> None:
    """Warns of cutpoints at which match sets may extend beyond the neighbours looked up."""
    cut = [name for name, at in cutpoints.items() if at["distance"] >= match_sets.reach]
    if cut:
        warnings.warn(
            f"The match sets of some queries may hold more than the neighbours that were looked "
            f"up, at the cutpoints {cut}: `row_f1` is not certain there. Look up more neighbours, "
            "or all within a distance.",
            stacklevel=levels_to_the_caller(),
        )
