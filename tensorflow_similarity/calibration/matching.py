"""Matching queries to classes, and how well thresholds do it."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.calibration.columns import right_matches
from tensorflow_similarity.calibration.counts import count_outcomes, warn_of_cut_sets
from tensorflow_similarity.calibration.matchers import derive
from tensorflow_similarity.calibration.results import Calibration, accepted_labels
from tensorflow_similarity.classification_metrics import classification_metrics
from tensorflow_similarity.evaluation import MatchSets

__all__ = ["CutpointResults", "evaluate_classification", "evaluate_cutpoints", "match"]

_METRICS = ("precision", "recall", "f1", "binary_accuracy", "npv", "fpr")


class CutpointResults(dict[str, dict[str, Any]]):
    """What each cutpoint does on queries: a dict, which prints as a table.

    Example:

    ```python
    from tensorflow_similarity.calibration import calibrate, evaluate_cutpoints

    calibration = calibrate([[0.1], [0.9]], [[3], [7]], [3, 5])
    results = evaluate_cutpoints([[0.05], [0.3]], [[4], [5]], [4, 5], calibration, ["recall"])
    results["optimal"]["recall"]  # 0.5
    print(results)  # a table
    ```
    """

    def __repr__(self) -> str:
        if not self:
            return "{}"
        header = ["cutpoint", *(key for key in next(iter(self.values())) if key != "name")]
        rows = [[name, *(point[key] for key in header[1:])] for name, point in self.items()]
        return text_table(header, rows, 0, 3)

    __str__ = __repr__


def match(
    distances: Any,
    neighbor_labels: Any,
    cutpoint_distance: float,
    matcher: Any = "match_nearest",
    no_match_label: Any = -1,
) -> np.ndarray:
    """Labels of queries whose match is at or below a distance.

    Args:
        distances: `[queries, k]`, nearest first; inf where there is no neighbour
            (or it has no label).
        neighbor_labels: Class ids or names `[queries, k]`; −1 or None where a neighbour
            has no label, which is never a match.
        cutpoint_distance: The threshold.
        matcher: `"match_nearest"`, `"match_majority_vote"` or a
            `ClassificationMatch`.
        no_match_label: What queries without a match get; by default −1, and None among
            names. Choose one that is no class of yours.

    Returns:
        int64 `[queries]`, or names where the neighbours' labels are names.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If shapes do not match, or the matcher does not exist.

    Example:

    ```python
    from tensorflow_similarity.calibration import match

    match([[0.1], [0.9]], [[3], [7]], cutpoint_distance=0.5)  # [3, -1]
    ```
    """
    if not isinstance(cutpoint_distance, numbers.Real) or np.isnan(float(cutpoint_distance)):
        raise ValueError(f"`cutpoint_distance` must be a number. Received: {cutpoint_distance!r}.")
    _, labels, match_distances = derive(distances, neighbor_labels, matcher)
    accepted = (match_distances <= float(cutpoint_distance)) & np.isfinite(match_distances)
    return accepted_labels(accepted, labels, no_match_label)


def evaluate_classification(
    distances: Any,
    neighbor_labels: Any,
    query_labels: Any,
    distance_thresholds: Any,
    metrics: Sequence[Any] = _METRICS,
    matcher: Any = "match_nearest",
) -> dict[str, np.ndarray]:
    """Classification metrics at given distance thresholds.

    Args:
        distances: `[queries, k]`, nearest first; inf where there is no neighbour.
        neighbor_labels: Class ids or names `[queries, k]`; −1 or None where a neighbour
            has no label, which is never a match.
        query_labels: Class ids or names `[queries]`, or several labels as `Targets`, of
            which a match must have one. None for a query of no known class: to accept
            a match of it is a mistake.
        distance_thresholds: The thresholds `[thresholds]`; results are in their
            ascending order.
        metrics: Names or `ClassificationMetric` objects.
        matcher: `"match_nearest"`, `"match_majority_vote"` or a
            `ClassificationMatch`.

    Returns:
        `"distance"` and the name of each metric -> float64 `[thresholds]`.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If shapes do not match, or a metric or matcher does not exist.

    Example:

    ```python
    from tensorflow_similarity.calibration import evaluate_classification

    evaluate_classification([[0.1], [0.9]], [[3], [7]], [3, 5], [0.5, 1.0], ["precision"])
    # {'distance': [0.5, 1.0], 'precision': [1.0, 0.5]}
    ```
    """
    resolved = classification_metrics(metrics, "metrics")
    _, labels, match_distances = derive(distances, neighbor_labels, matcher)
    right, _ = right_matches(labels, query_labels)
    thresholds = np.sort(np.atleast_1d(checks.numbers(distance_thresholds, "distance_thresholds")))
    if thresholds.ndim != 1 or not len(thresholds) or np.isnan(thresholds).any():
        raise ValueError(
            f"`distance_thresholds` must be one or more numbers. Received: {distance_thresholds!r}."
        )
    counts = count_outcomes(match_distances, right, thresholds)
    return {"distance": thresholds, **counts.values(resolved)}


def evaluate_cutpoints(
    distances: Any,
    neighbor_labels: Any,
    query_labels: Any,
    calibration: Calibration,
    metrics: Sequence[Any] = _METRICS,
    matcher: Any = None,
    *,
    match_sets: MatchSets | None = None,
) -> CutpointResults:
    """How the cutpoints of a calibration do on other queries.

    Thresholds of single classes count where the calibration has them.

    Args:
        distances: `[queries, k]`, nearest first; inf where there is no neighbour.
        neighbor_labels: Class ids or names `[queries, k]`; −1 or None where a neighbour
            has no label, which is never a match.
        query_labels: Class ids or names `[queries]`, or several labels as `Targets`, of
            which a match must have one. None for a query of no known class: to accept
            a match of it is a mistake.
        calibration: The calibration.
        metrics: Names or `ClassificationMetric` objects.
        matcher: None: the matcher of the calibration.
        match_sets: Those of the queries, for the metric `"row_f1"`.

    Returns:
        Cutpoint -> `{"name", "distance", metric: value, ...}`.

    Example:

    ```python
    from tensorflow_similarity.calibration import calibrate, evaluate_cutpoints

    calibration = calibrate([[0.1], [0.9]], [[3], [7]], [3, 5])
    evaluate_cutpoints([[0.05], [0.3]], [[4], [5]], [4, 5], calibration, ["recall"])
    # {'optimal': {'name': 'optimal', 'distance': 0.1, 'recall': 0.5}}
    ```
    """
    resolved = classification_metrics(metrics, "metrics")
    _, labels, match_distances = derive(distances, neighbor_labels, matcher or calibration.matcher)
    right, _ = right_matches(labels, query_labels)
    if match_sets is not None:
        warn_of_cut_sets(match_sets, calibration.cutpoints)
    results = CutpointResults()
    for name, point in calibration.cutpoints.items():
        limits = calibration.limits(labels, name)
        # One threshold, 0, for how far each match is beyond its own limit.
        beyond = np.where(match_distances <= limits, 0.0, 1.0)
        counts = count_outcomes(beyond, right, np.zeros(1))
        if match_sets is not None:
            own = match_sets.f1(np.array([point["distance"]]))
            counts = dataclasses.replace(counts, row_f1=own)
        results[name] = {
            "name": name,
            "distance": point["distance"],
            **{metric: float(value[0]) for metric, value in counts.values(resolved).items()},
        }
    return results
