"""Calibration, matching and evaluation of embedded queries against an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import calibration
from tensorflow_similarity.calibration import Calibration
from tensorflow_similarity.evaluation import EvaluationResult, evaluate
from tensorflow_similarity.index import Index
from tensorflow_similarity.retrieval_metrics import RetrievalMetric

__all__ = [
    "calibrate",
    "evaluate_classification",
    "evaluate_retrieval",
    "match",
    "require_calibration",
]


def require_calibration(index: Index) -> Calibration:
    """The calibration of an index.

    Raises:
        ValueError: If it was not calibrated.
    """
    if index.calibration is None:
        raise ValueError("The index is not calibrated: call model.calibrate(x, y) first.")
    return index.calibration


def _columns(index: Index, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and labels of the nearest records; inf where there is none with a label."""
    neighbors = index.lookup(queries, k=k)
    return np.where(neighbors.has_label, neighbors.distances, np.inf), neighbors.labels


def calibrate(
    index: Index, queries: np.ndarray, labels: np.ndarray, k: int, **options: Any
) -> Calibration:
    """Calibrates an index, and stores the calibration in it."""
    found = calibration.calibrate(*_columns(index, queries, k), labels, **options)
    index.calibration = found
    return found


def match(
    index: Index,
    queries: np.ndarray,
    cutpoint: str,
    no_match_label: int,
    k: int | None,
    matcher: Any,
) -> np.ndarray | dict[str, np.ndarray]:
    """The labels of queries at a cutpoint, or at each of them if it is `"all"`."""
    thresholds = require_calibration(index)
    columns = _columns(index, queries, thresholds.k if k is None else k)

    def at(name: str) -> np.ndarray:
        return thresholds.match(*columns, name, no_match_label, matcher)

    if cutpoint == "all" and "all" not in thresholds.cutpoints:
        return {name: at(name) for name in thresholds.cutpoints}
    return at(cutpoint)


def evaluate_classification(
    index: Index,
    queries: np.ndarray,
    labels: np.ndarray,
    k: int | None,
    extra_metrics: Sequence[Any],
    matcher: Any,
) -> dict[str, dict[str, Any]]:
    """What each cutpoint of the calibration does on queries."""
    thresholds = require_calibration(index)
    metrics = list(dict.fromkeys([thresholds.calibration_metric, *extra_metrics]))
    columns = _columns(index, queries, thresholds.k if k is None else k)
    return calibration.evaluate_cutpoints(*columns, labels, thresholds, metrics, matcher)


def evaluate_retrieval(
    index: Index,
    queries: np.ndarray,
    labels: np.ndarray,
    metrics: Any,
    ids: Any,
    confidence: float,
    seed: int,
) -> EvaluationResult | dict[str, float]:
    """How well the records answer queries."""
    several = isinstance(metrics, Sequence) and not isinstance(metrics, str)
    given = list(metrics) if several else [metrics]
    original = [metric for metric in given if isinstance(metric, RetrievalMetric)]
    if original and len(original) < len(given):
        raise ValueError(
            "`retrieval_metrics` must be names and RankMetric objects, or RetrievalMetric objects. "
            f"Received a mixture: {given}."
        )
    if original and ids is not None:
        raise ValueError(
            "`ids` must be None with RetrievalMetric objects, which look records up. Received: "
            "ids of the queries. Pass names of metrics, which leave them out; or make the objects "
            "with drop_closest_lookup=True."
        )
    if original:
        return _from_lookups(index, queries, labels, original)
    records = index.get(index.ids)
    known = np.flatnonzero(records.has_label)
    if not len(known):
        raise ValueError("The records of the index must have labels. Received: none that has one.")
    return evaluate(
        queries,
        labels,
        records.embeddings[known],
        records.labels[known],
        distance=index.distance,
        metrics=metrics,
        confidence=confidence,
        seed=seed,
        query_positions=None if ids is None else _positions(records.ids[known], ids, len(queries)),
    )


def _positions(known: np.ndarray, ids: Any, count: int) -> np.ndarray:
    """Where the records with `ids` are among the known ones, -1 where they are not."""
    wanted = checks.class_ids(ids, "ids", count)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, places, -1)


def _from_lookups(
    index: Index, queries: np.ndarray, labels: np.ndarray, metrics: list[RetrievalMetric]
) -> dict[str, float]:
    neighbors = index.lookup(queries, k=max(m.k + int(m.drop_closest_lookup) for m in metrics))
    return {
        metric.name: metric.compute(
            query_labels=labels,
            match_mask=(neighbors.labels == labels[:, None]) & neighbors.has_label,
            lookup_distances=neighbors.distances,
        )
        for metric in metrics
    }
