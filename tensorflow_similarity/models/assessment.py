"""Calibration, matching and evaluation of embedded queries against an index."""

from __future__ import annotations

import collections
import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import calibration, targets
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.calibration import Calibration, Matches
from tensorflow_similarity.classification_metrics import classification_metrics
from tensorflow_similarity.evaluation import EvaluationResult, MatchSets, SameGroup, evaluate
from tensorflow_similarity.index import Index, Neighbors
from tensorflow_similarity.index._keys import read_keys
from tensorflow_similarity.retrieval_metrics import RetrievalMetric
from tensorflow_similarity.targets import Targets, TargetsLike

__all__ = [
    "ANY_KIND",
    "calibrate",
    "evaluate_classification",
    "evaluate_retrieval",
    "limit_of",
    "match",
    "require_calibration",
    "say_without_positives",
]


# Records read at a time; neighbours looked up at first, and of all queries at most.
_RECORDS, _FIRST, _MOST_NEIGHBORS = 1 << 16, 32, 1 << 26

#: The kinds of targets for evaluation.
ANY_KIND = ("classes", "multi_hot", "soft", "hierarchy", "relevance")


def require_calibration(index: Index) -> Calibration:
    """Returns the calibration of an index, or raises.

    Raises:
        ValueError: If it was not calibrated.
    """
    if index.calibration is None:
        raise ValueError("The index is not calibrated: call model.calibrate(x, y) first.")
    return index.calibration


def limit_of(index: Index, max_distance: float | str | None) -> float | None:
    """A distance, given as such or as the name of a cutpoint."""
    if not isinstance(max_distance, str):
        return max_distance
    return require_calibration(index).distance(max_distance)


def _columns(index: Index, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and labels of the nearest records; inf without a labelled one."""
    return _with_labels(index.lookup(queries, k=k))


def _with_labels(neighbors: Neighbors) -> tuple[np.ndarray, np.ndarray]:
    return np.where(neighbors.has_label, neighbors.distances, np.inf), neighbors.labels


def calibrate(
    index: Index, queries: np.ndarray, labels: Targets, k: int, **options: Any
) -> Calibration:
    """Calibrates an index, and stores the calibration in it."""
    columns, names = _columns(index, queries, k), options.get("thresholds_targets") or {}
    wanted = classification_metrics(options.get("calibration_metric", "f1"), "calibration_metric")
    wanted += classification_metrics(options.get("extra_metrics", ()), "extra_metrics")
    for target in names.values() if isinstance(names, Mapping) else ():
        if isinstance(target, Mapping):
            wanted += classification_metrics(list(target), "thresholds_targets")
    if not any(metric.needs_sets for metric in wanted):
        found = calibration.calibrate(*columns, labels, **options)
    else:
        sets = _match_sets(index, queries, labels, lambda sets: sets.best())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The match sets of some queries")
            found = calibration.calibrate(*columns, labels, match_sets=sets, **options)
        farthest = max(point["distance"] for point in found.cutpoints.values())
        if farthest >= sets.reach:  # There are cutpoints beyond the best of sets.
            sets = _match_sets(index, queries, labels, lambda sets: farthest)
            found = calibration.calibrate(*columns, labels, match_sets=sets, **options)
    index.calibration = found
    return found


def _match_sets(
    index: Index, queries: np.ndarray, labels: Targets, farthest: Callable[[MatchSets], float]
) -> MatchSets:
    """The match sets of queries by the labels of records, complete up to a distance.

    Args:
        index: The index.
        queries: Embeddings.
        labels: Theirs.
        farthest: How far they must be whole, once some are known.
    """
    every = index.ids
    counted: collections.Counter[Any] = collections.Counter()
    for start in range(0, len(every), _RECORDS):
        counted.update(index.get(every[start : start + _RECORDS]).labels.tolist())
    for none in (None, -1):
        counted.pop(none, None)
    known, counts = np.empty(len(counted), object), np.array(list(counted.values()), np.int64)
    for place, label in enumerate(counted):  # which may be a tuple of several
        known[place] = label
    relevant = np.zeros(len(queries), np.int64)
    if len(known):
        table = np.broadcast_to(known, (len(queries), len(known)))
        relevant = targets.lookup_labels(table, labels, "labels")[0] @ counts
    k = min(max(_FIRST, 2 * int(relevant.max(initial=0))), len(index))
    while True:
        sets = MatchSets.of_labels(index.lookup(queries, k=k), labels, relevant)
        if k == len(index):
            return dataclasses.replace(sets, reach=np.inf)
        if farthest(sets) < sets.reach or k * len(queries) >= _MOST_NEIGHBORS:
            return sets
        k = min(4 * k, len(index), max(k + 1, _MOST_NEIGHBORS // len(queries)))


def match(
    index: Index,
    queries: np.ndarray,
    cutpoint: str,
    no_match_label: object,
    k: int | None,
    matcher: object,
) -> Matches | dict[str, Matches]:
    """The matches of queries at a cutpoint, or at each of them if it is `"all"`."""
    thresholds = require_calibration(index)
    neighbors = index.lookup(queries, k=thresholds.k if k is None else k)
    columns = _with_labels(neighbors)

    def at(name: str) -> Matches:
        return thresholds.match_details(
            *columns,
            name,
            no_match_label,
            matcher,
            neighbor_ids=neighbors.ids,
            neighbor_keys=neighbors.keys,
            class_names=neighbors.class_names,
        )

    if cutpoint == "all" and "all" not in thresholds.cutpoints:
        return {name: at(name) for name in thresholds.cutpoints}
    return at(cutpoint)


def evaluate_classification(
    index: Index,
    queries: np.ndarray,
    labels: Targets,
    k: int | None,
    extra_metrics: Sequence[Any],
    matcher: object,
) -> calibration.CutpointResults:
    """Evaluates each cutpoint of the calibration on queries."""
    thresholds = require_calibration(index)
    extra = classification_metrics(extra_metrics, "extra_metrics")
    metrics = classification_metrics(thresholds.calibration_metric, "calibration_metric")
    metrics += [metric for metric in extra if metric.name != metrics[0].name]
    columns = _columns(index, queries, thresholds.k if k is None else k)
    sets = None
    if any(metric.needs_sets for metric in metrics):
        limits = [point["distance"] for point in thresholds.cutpoints.values()]
        sets = _match_sets(index, queries, labels, lambda sets: max(limits))
    return calibration.evaluate_cutpoints(
        *columns, labels, thresholds, metrics, matcher, match_sets=sets
    )


def evaluate_retrieval(
    index: Index,
    queries: np.ndarray,
    labels: Any,
    metrics: Any,
    ids: ArrayLike | None,
    confidence: float,
    seed: int,
    record_labels: Any = None,
    **options: Any,
) -> EvaluationResult | dict[str, float]:
    """Evaluates retrieval of the records by queries.

    Args:
        index: The index.
        queries: Embeddings.
        labels: What is known of them, as `evaluate` takes it.
        metrics: See `SimilarityModel.evaluate_retrieval`, as the rest.
        ids: Their ids, where they are records themselves.
        confidence: Level of the intervals.
        seed: Seed of the bootstrap.
        record_labels: What is known of all records, in place of their labels.
        **options: `relevance`, `ignore` and `ignore_class` of `evaluate`.
    """
    if options.get("relevance") is None:
        labels = targets.get(labels, "y", len(queries), kinds=ANY_KIND)
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
        unable = {"ids": ids, "record_labels": record_labels, **options}
        refused = [name for name, value in unable.items() if value is not None]
        if refused:
            raise ValueError(
                f"`retrieval_metrics` of lookups know no {refused}. Received: {original}. Pass "
                "names, such as 'precision@1'."
            )
        return _from_lookups(index, queries, labels, original)
    keys = None if ids is None else read_keys(ids)
    if keys is not None:
        ids = index.ids_of(keys)
    records = index.get(index.ids)
    known = np.arange(len(records))
    own = None if ids is None else _positions(records.ids, ids, len(queries))
    if record_labels is None and options.get("relevance") is None and labels.kind != "relevance":
        known = np.flatnonzero(records.has_label)
        if not len(known):
            raise ValueError(
                "The records of the index must have labels. Received: none that has one."
            )
        record_labels, labels = _comparable(records.labels[known], labels)
        if options.get("ignore") is not None:
            options["ignore"] = _of_records(options["ignore"], known, len(records))
        if own is not None:
            own = _positions(records.ids[known], ids, len(queries))
    elif record_labels is None:
        record_labels = records.labels
    result = evaluate(
        queries,
        labels,
        records.embeddings[known],
        record_labels,
        distance=index.distance,
        metrics=metrics,
        confidence=confidence,
        seed=seed,
        query_positions=own,
        **options,
    )
    say_without_positives(result, "queries", "the index holds no other record of their class")
    return result


def say_without_positives(result: EvaluationResult, name: str, why: str) -> None:
    """Warns of queries to which nothing is relevant.

    Raises:
        ValueError: If that is so for all of them.
    """
    alone = result.skipped - result.unknown
    if not result.queries:
        raise ValueError(
            f"`{name}` must have at least one to which something is relevant. Received: "
            f"{len(result.labels)}, of unknown class: {result.unknown}; of the others, {why}."
        )
    if alone:
        warnings.warn(
            f"{alone} of {len(result.labels)} {name} count in no mean: {why}. `skipped` counts "
            "them.",
            stacklevel=levels_to_the_caller(),
        )


def _comparable(record_labels: np.ndarray, queries: Targets) -> tuple[Targets, Targets]:
    """The labels of records and of queries, converted to one kind for `evaluate`."""
    if not isinstance(record_labels[0], tuple):
        return _like(targets.get(record_labels, "labels"), queries), queries
    sets = Targets.label_sets(record_labels, name="labels")
    if queries.kind not in ("classes", "multi_hot"):
        return sets, queries
    named, ids = targets.label_ids_of(sets) is None, targets.label_ids_of(queries)
    if named != (queries.class_names is not None and ids is None):
        held = "class names" if named else "class ids"
        raise TypeError(
            f"`y` must hold {held}, as the records of the index do. Received: {queries!r}."
        )
    if queries.kind == "classes":
        values = queries.decode(queries.ids).tolist()
        known = queries.known.tolist()
        own = [{value} if there else None for value, there in zip(values, known, strict=True)]
        return sets, Targets.label_sets(own, name="y")
    if named or ids is not None:
        return sets, queries
    matrix: np.ndarray = queries.matrix  # type: ignore[attr-defined]
    return sets, Targets.label_sets([np.flatnonzero(row).tolist() for row in matrix], name="y")


def _like(records: Targets, queries: Targets) -> Targets:
    """Converts single labels of records to the kind of queries with several labels."""
    if queries.kind != "multi_hot":
        return records
    if records.class_names is not None or queries.class_names is not None:
        if records.class_names is None:
            raise TypeError(
                "`y` must hold class ids, as the records of the index do: columns without names. "
                f"Received: {queries!r}."
            )
        if queries.class_names is None:
            raise TypeError(
                "`y` must hold class names, as the records of the index do: "
                f"Targets.multi_hot(y, names). Received: {queries!r}."
            )
        names = records.decode(records.ids).tolist()
        return Targets.label_sets([None if name is None else {name} for name in names])
    columns = queries.matrix.shape[1]  # type: ignore[attr-defined]
    return Targets.multi_hot(records.ids[:, None] == np.arange(columns))


def _of_records(ignore: ArrayLike, known: np.ndarray, count: int) -> Any:
    """Pairs that are ignored, for the records with labels."""
    if isinstance(ignore, SameGroup):
        return ignore.of_records(known)
    if callable(ignore):
        return lambda rows: np.asarray(ignore(rows))[:, known]
    matrix = np.asarray(ignore)
    return matrix[:, known] if matrix.ndim == 2 and matrix.shape[1] == count else matrix


def _positions(known: np.ndarray, ids: ArrayLike | None, count: int) -> np.ndarray:
    """Where the records with `ids` are among the known ones, -1 where they are not."""
    wanted = checks.class_ids(ids, "ids", count)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[places] == wanted, places, -1)


def _from_lookups(
    index: Index, queries: np.ndarray, labels: TargetsLike, metrics: list[RetrievalMetric]
) -> dict[str, float]:
    neighbors = index.lookup(queries, k=max(m.k + int(m.drop_closest_lookup) for m in metrics))
    right, _, labels = targets.lookup_labels(neighbors.labels, labels, "labels")
    if not labels.known.any():
        raise ValueError("`y` must hold at least one class. Received: None for all queries.")
    return {
        metric.name: metric.compute(
            query_labels=labels,
            match_mask=right,
            lookup_distances=neighbors.distances,
        )
        for metric in metrics
    }
