"""Calibration: finding distance thresholds that reach targets on labelled queries."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity.calibration.bounds import metric_bound
from tensorflow_similarity.calibration.columns import right_matches
from tensorflow_similarity.calibration.conformal import conformal_threshold, queries_needed
from tensorflow_similarity.calibration.counts import Counts, count_outcomes, warn_of_cut_sets
from tensorflow_similarity.calibration.matchers import (
    derive,
    make_classification_matcher,
    matcher_of,
)
from tensorflow_similarity.calibration.probabilities import fit_probabilities
from tensorflow_similarity.calibration.results import Calibration
from tensorflow_similarity.calibration.targets import (
    Target,
    choose_all,
    make_targets,
    warn_of_order,
)
from tensorflow_similarity.classification_metrics import (
    ClassificationMetric,
    classification_metrics,
)
from tensorflow_similarity.evaluation import MatchSets
from tensorflow_similarity.targets import Targets

__all__ = ["calibrate"]

_REFERENCE_SIZE = 1000
# Number of match-set distances tried as thresholds, besides the best one.
_MOST_CANDIDATES = 10_000


def calibrate(
    distances: Any,
    neighbor_labels: Any,
    query_labels: Any,
    thresholds_targets: Any = None,
    calibration_metric: Any = "f1",
    matcher: Any = "match_nearest",
    extra_metrics: Sequence[Any] = ("precision", "recall"),
    *,
    confidence: float = 0.95,
    guarantee: bool = False,
    per_class: bool = False,
    min_per_class: int = 20,
    miss_rate: float | None = None,
    known_labels: Any = None,
    match_sets: MatchSets | None = None,
) -> Calibration:
    """Finds distance thresholds that reach targets on labelled queries.

    The candidate thresholds are the distances that occur; a match at or below the threshold is
    accepted. Targets hold on the calibration queries exactly, not just after rounding: at
    least the given number for precision, recall, f1, binary_accuracy and npv, at most for
    fpr. Among the candidates that reach a target, precision and fpr take the largest (most
    queries answered), the others the smallest (fewest mistakes). If one target implies another
    (`{"precision": 0.99, "recall": 0.5}` and `{"recall": 0.5}`), the stronger never accepts more:
    the weaker then takes the same threshold. A target of recall or f1 alone that accepts less
    than one with a limit on mistakes gives a warning. A target that no candidate reaches gets no
    cutpoint; it is listed in `unreached`, with a warning.

    Queries must not be in the index. An indexed query finds itself at distance 0, which makes
    every threshold look better than it is.

    Args:
        distances: `[queries, k]`, nearest first; inf where there is no neighbour
            (or it has no label).
        neighbor_labels: Class ids or names `[queries, k]`; −1 or None where a neighbour
            has no label, which is never a match.
        query_labels: Class ids or names `[queries]`. Classes that are not in the index are
            allowed, and so is None (or −1) for an unknown class: accepting a match of such
            a query is a mistake. Or several labels as `Targets`; a match must have one of
            them.
        thresholds_targets: Name -> number, a target for `calibration_metric`, or
            name -> {metric: number}, all of which must hold:
            `{"strict": {"precision": 0.99}, "loose": 0.8}`.
        calibration_metric: The metric whose best value gives the cutpoint `"optimal"` (at the
            largest such distance): precision, recall, f1, binary_accuracy, npv, fpr
            or a `ClassificationMetric`.
        matcher: `"match_nearest"`, `"match_majority_vote"` or a
            `ClassificationMatch`.
        extra_metrics: Further metrics to report.
        confidence: Level of the bounds reported with each cutpoint.
        guarantee: Whether the bound at level `confidence` must reach the target, not just
            the value on these queries. This is stricter: precision 0.99 takes some 300
            accepted queries without a mistake.
        per_class: Whether to find thresholds for individual classes too, which apply to
            matches with that label. A class that cannot reach a target is never matched at
            that cutpoint.
        min_per_class: Number of calibration queries matched to a class that its own
            threshold requires; classes with fewer use the common threshold.
        miss_rate: If given, adds a cutpoint `"known"` for rejecting queries of unknown
            classes: a new query of a known class, exchangeable with those of the
            calibration, is rejected with at most this probability (split-conformal, so
            distribution-free).
        known_labels: Class ids or names in the index, for `miss_rate`. None: those that
            occur in `neighbor_labels`.
        match_sets: Match sets of the queries, for the metric `"row_f1"`, to calibrate a
            threshold for all records within a distance. Their distances become candidates
            too: all of them, or 10,000 evenly spaced ones and the best.

    Returns:
        A `Calibration`.

    Raises:
        TypeError: If labels are neither ids nor names, or targets not numbers.
        ValueError: If shapes do not match, there are no neighbours at all, or a
            metric, matcher or target is invalid.

    Example:

    ```python
    from tensorflow_similarity.calibration import calibrate

    calibration = calibrate(
        distances=[[0.1], [0.2], [0.4], [0.5]],
        neighbor_labels=[[1], [2], [3], [1]],
        query_labels=[1, 2, 3, 4],
        thresholds_targets={"strict": {"precision": 0.99}, "loose": 0.9},
    )
    print(calibration)
    ```
    """
    (metric,) = classification_metrics([calibration_metric], "calibration_metric")
    targets = make_targets(thresholds_targets, metric)
    _check_miss_rate(miss_rate, targets)
    confidence = checks.fraction(confidence, "confidence")
    extra = classification_metrics(extra_metrics, "extra_metrics")
    checks.flag(guarantee, "guarantee")
    checks.flag(per_class, "per_class")
    minimum = checks.count(min_per_class, "min_per_class")
    resolved = make_classification_matcher(matcher)
    values, labels, match_distances = derive(distances, neighbor_labels, resolved)
    candidates = np.unique(values[np.isfinite(values)])
    if match_sets is not None:
        candidates = _with_sets(candidates, match_sets, len(values))
    if not len(candidates):
        raise ValueError(
            "`distances` must hold at least one neighbour of one query. Received: none in "
            f"{len(values)} queries. Index labelled records first."
        )
    right, queries = right_matches(labels, query_labels)
    metrics = _distinct(metric, targets, extra)
    if per_class and any(isinstance(label, tuple) for label in labels):
        raise ValueError(
            "`per_class` must be False where records have several labels: a match has no one class "
            "of which the threshold would be. Received: True."
        )
    if per_class and any(each.needs_sets for each in metrics):
        raise ValueError(
            "`per_class` must be False with metrics of match sets, in which records of several "
            "classes are. Received: True."
        )
    counts = count_outcomes(match_distances, right, candidates, match_sets)
    curve = counts.values(metrics)
    cutpoints: dict[str, dict[str, Any]] = {}
    bounds: dict[str, dict[str, float]] = {}
    unreached: dict[str, str] = {}

    def add(name: str, threshold: float, value: ClassificationMetric) -> None:
        here = count_outcomes(match_distances, right, np.array([threshold]), match_sets)
        reached = {m: float(v[0]) for m, v in here.values(metrics).items()}
        cutpoints[name] = {
            "name": name,
            "value": reached[value.name],
            "distance": float(threshold),
            **reached,
        }
        found = {m.name: metric_bound(m, here, confidence) for m in metrics}
        bounds[name] = {m: float(bound[0]) for m, bound in found.items() if bound is not None}

    add("optimal", candidates[_best(metric, curve, counts)], metric)
    reached = [_reached(target, counts, confidence, guarantee) for target in targets]
    chosen = choose_all(targets, reached)
    warn_of_order(targets, reached, chosen)
    for target, place in zip(targets, chosen, strict=True):
        if place is None:
            unreached[target.name] = target.describe()
        else:
            add(target.name, candidates[place], target.metrics[0])
    if miss_rate is not None:
        present = _labels_present(values, neighbor_labels) if known_labels is None else known_labels
        known = _of_classes(queries, present)
        threshold = conformal_threshold(match_distances[known], miss_rate)
        if threshold is None:
            unreached["known"] = (
                f"a miss rate of {miss_rate:g} (it takes {queries_needed(miss_rate)} queries of "
                f"known classes that have neighbours, here are {int(known.sum())})"
            )
        else:
            add("known", threshold, metric)
    if unreached:
        warnings.warn(
            "No threshold reaches "
            + "; ".join(f"{what} (target {name!r})" for name, what in unreached.items())
            + f" on these {len(queries)} queries: no such cutpoint.",
            stacklevel=2,
        )
    if match_sets is not None:
        warn_of_cut_sets(match_sets, cutpoints)
    own: dict[str, dict[Any, float | None]] = {}
    if per_class:
        own = {name: {} for name in cutpoints}
        for label, which in _by_label(labels, np.isfinite(match_distances), minimum):
            thresholds = np.unique(match_distances[which])
            outcomes = count_outcomes(match_distances[which], right[which], thresholds)
            best = _best(metric, outcomes.values([metric]), outcomes)
            own["optimal"][label] = float(thresholds[best])
            reached = [_reached(target, outcomes, confidence, guarantee) for target in targets]
            for target, place in zip(targets, choose_all(targets, reached), strict=True):
                if target.name in own:
                    own[target.name][label] = None if place is None else float(thresholds[place])
    return Calibration(
        cutpoints=cutpoints,
        thresholds={"distance": candidates, **curve},
        unreached=unreached,
        bounds=bounds,
        per_class=own,
        calibration_metric=metric.name,
        matcher=matcher_of(resolved),
        k=values.shape[1],
        confidence=confidence,
        queries=len(queries),
        reference=_order_statistics(match_distances),
        probabilities=fit_probabilities(match_distances, right),
    )


def _with_sets(candidates: np.ndarray, match_sets: MatchSets, queries: int) -> np.ndarray:
    """Candidates, and the distances in match sets, the best one among them."""
    if len(match_sets) != queries:
        raise ValueError(
            f"`match_sets` must be of the same queries, {queries}. Received: {match_sets!r}."
        )
    if not len(match_sets.queries):
        return candidates
    more = match_sets.candidates(_MOST_CANDIDATES)
    return np.unique(np.concatenate([candidates, more, [match_sets.best()]]))


def _distinct(
    metric: ClassificationMetric, targets: Sequence[Target], extra: Sequence[ClassificationMetric]
) -> list[ClassificationMetric]:
    """All metrics to compute, without duplicate names."""
    everything = [metric, *extra]
    everything += [m for target in targets for m in target.metrics]
    return list({m.name: m for m in everything}.values())


def _reached(target: Target, counts: Counts, confidence: float, guarantee: bool) -> np.ndarray:
    """Where the metrics, or their bounds, reach the target: bool `[thresholds]`."""
    values = counts.values(target.metrics)
    if guarantee:
        for metric in target.metrics:
            bound = metric_bound(metric, counts, confidence)
            if bound is None:
                raise ValueError(
                    f"`guarantee=True` needs metrics with a known bound. Received: {metric!r}."
                )
            values[metric.name] = bound
    return target.reached(values, counts.accepted)


def _best(metric: ClassificationMetric, curve: dict[str, np.ndarray], counts: Counts) -> int:
    """Position of the best value (the last of ties) among thresholds that accept something."""
    values = curve[metric.name] if metric.maximize else -curve[metric.name]
    values = np.where(counts.accepted > 0, values, -np.inf)
    return len(values) - 1 - int(values[::-1].argmax())


def _labels_present(distances: np.ndarray, neighbor_labels: Any) -> np.ndarray:
    """Labels of all neighbours that exist."""
    present = checks.host_array(neighbor_labels, "neighbor_labels")[np.isfinite(distances)]
    if any(isinstance(label, tuple) for label in present[:1]):
        present = np.array([label for labels in present for label in labels])
    return np.unique(present)


def _of_classes(queries: Targets, present: Any) -> np.ndarray:
    """Which queries have one of the given labels: bool `[queries]`."""
    if queries.kind == "classes":
        mine, those = targets.align(
            queries, targets.get(present, "known_labels"), ("query_labels", "known_labels")
        )
        return np.isin(mine.ids, those.ids[those.known]) & mine.known
    table = np.broadcast_to(np.asarray(present), (len(queries), len(present)))
    right = targets.lookup_labels(table, queries, "known_labels")[0]
    return np.asarray(right.any(axis=1))


def _check_miss_rate(miss_rate: float | None, targets: Sequence[Target]) -> None:
    if miss_rate is None:
        return
    checks.fraction(miss_rate, "miss_rate")
    if any(target.name == "known" for target in targets):
        raise ValueError(
            "`thresholds_targets` must not contain 'known', the cutpoint of `miss_rate`. "
            "Received: 'known'. Use another name."
        )


def _by_label(
    labels: np.ndarray, matched: np.ndarray, minimum: int
) -> list[tuple[Any, np.ndarray]]:
    """Classes with enough matches, and the queries matched to them."""
    places = np.flatnonzero(matched)
    places = places[np.argsort(labels[places], kind="stable")]
    classes, starts = np.unique(labels[places], return_index=True)
    groups = np.split(places, starts[1:])
    return [
        (label, group)
        for label, group in zip(classes.tolist(), groups, strict=True)
        if len(group) >= minimum
    ]


def _order_statistics(match_distances: np.ndarray) -> np.ndarray:
    found = np.sort(match_distances[np.isfinite(match_distances)])
    if len(found) <= _REFERENCE_SIZE:
        return found
    return found[np.linspace(0, len(found) - 1, _REFERENCE_SIZE).round().astype(int)]
