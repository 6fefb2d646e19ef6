"""Retrieval evaluation of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.distances.scale import check_ranking_scale
from tensorflow_similarity.evaluation import metrics as rank_metrics
from tensorflow_similarity.evaluation._supervision import supervise
from tensorflow_similarity.evaluation.metrics import Ranking, RankMetric
from tensorflow_similarity.evaluation.ranks import rank
from tensorflow_similarity.evaluation.result import EvaluationResult
from tensorflow_similarity.targets import Targets, TargetsLike, lookup_labels, shown_labels

__all__ = ["evaluate", "evaluate_lookup"]

# The first relevant key is nearly always among this many ranks.
_RANKS_FOR_FIRST = 64


def evaluate(
    embeddings: ArrayLike,
    labels: Any,
    gallery: ArrayLike | None = None,
    gallery_labels: TargetsLike | None = None,
    distance: DistanceLike = "cosine",
    metrics: object = None,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    query_positions: ArrayLike | None = None,
    relevance: object = None,
    ignore: object = None,
    ignore_class: object = None,
    verbose: int = 0,
) -> EvaluationResult:
    """Evaluates retrieval exactly, with confidence intervals.

    The whole gallery is ranked for every query. Ties in distance are ordered by gallery
    position. Memory use is bounded at any size: about 500 MB on top of the data. The formulas
    are in `tensorflow_similarity.evaluation.metrics`.

    Args:
        embeddings: The queries, `[queries, dim]`, real numbers.
        labels: Their labels `[queries]`: class ids of any integer dtype, or class names, with
            None where the class is unknown; or `Targets` of several labels
            (`Targets.multi_hot`, `Targets.label_sets`: keys that share a label are relevant),
            a hierarchy (keys that share the coarsest level are relevant; the fraction of
            shared levels is the gain for ndcg@k), probabilities, or relevance. Keys of
            unknown class are relevant to nothing, and count as mistakes in rankings.
        gallery: The embeddings to search, `[keys, dim]`. None: the queries themselves,
            each left out of its own ranking (leave-one-out).
        gallery_labels: Labels of the gallery `[keys]`; required with `gallery`.
        distance: A name, an object or a function: see `distances.get`.
        metrics: Names such as `"precision@1"`, `"map@r"`, `"recall@10"` or
            `RankMetric` objects; None: precision@1, hit_rate@4, r_precision, map@r.
        confidence: Level of the intervals, between 0 and 1.
        seed: Seed of the bootstrap.
        query_positions: int `[queries]`, if the gallery contains the queries: the gallery
            position of each query, which is left out of its own ranking; -1 for a query
            that is not in the gallery.
        relevance: Which keys are relevant to which queries, if not those of the same class:
            a bool matrix `[queries, keys]`, or a function that maps the labels of some
            queries `[n, ...]` and those of the gallery to bool `[n, keys]`. In place of
            bools there may be grades of at least 0, which are the gains for ndcg@k; for other
            metrics, keys with a grade above 0 are relevant. NaN leaves the key out of the
            query's ranking. Labels may then have any shape and dtype; equal labels form the
            classes for macro means and intervals. `"jaccard"`: shared labels divided by all
            labels of either, for several labels.
        ignore: Pairs to leave out of rankings, neither right nor wrong: a bool matrix
            `[queries, keys]`; a function that maps positions of some queries, int64 `[n]`,
            to bool `[n, keys]`; or `SameGroup(query_groups, gallery_groups)`, the
            protocol of re-identification: keys of the query's class and camera.
        ignore_class: A class id or name that stands for an unknown class.
        verbose: 1 shows a progress bar.

    Returns:
        An `EvaluationResult`: a mapping from metric name to value, with
        `.interval(name)`, `.per_class`, `.macro`, `.skipped` and more.

    Raises:
        TypeError: If labels are neither ids nor names nor `Targets`, or embeddings not
            numbers.
        ValueError: If shapes do not match, an embedding is NaN, there is nothing to
            evaluate, the gallery is identical to the queries (then omit `gallery`), or a
            metric or distance does not exist.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import evaluate

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    embeddings = np.eye(10)[labels] + 0.3 * rng.normal(size=(200, 10))
    print(evaluate(embeddings, labels, metrics=["precision@1", "map@r"]))
    ```
    """
    wanted = rank_metrics.get_all(metrics)
    resolved = distances.get(distance)
    confidence = checks.fraction(confidence, "confidence")
    checks.rng(seed)
    queries = checks.embeddings(embeddings, "embeddings")
    check_ranking_scale(resolved, queries, "embeddings")
    if gallery is None:
        if gallery_labels is not None or query_positions is not None:
            raise ValueError(
                "`gallery_labels` and `query_positions` describe `gallery`. Received: None for "
                "`gallery`. Pass all of them, or none for leave-one-out."
            )
        keys, own = queries, np.arange(len(queries))
    else:
        keys = checks.embeddings(gallery, "gallery", size=queries.shape[1])
        check_ranking_scale(resolved, keys, "gallery")
        own = _own_positions(query_positions, len(queries), len(keys))
        if query_positions is None and queries.shape == keys.shape and (queries == keys).all():
            raise ValueError(
                "`gallery` holds the very queries, so that each would find itself first. Leave "
                "it out (None) for leave-one-out evaluation, or pass `query_positions`."
            )
    if not len(queries) or not len(keys):
        raise ValueError(
            "There must be queries and a gallery. Received: "
            f"{len(queries)} `embeddings` and a gallery of {len(keys)}."
        )
    if gallery is not None and gallery_labels is None and not _says_all(labels):
        raise ValueError("`gallery_labels` must be given with `gallery`. Received: None.")
    if gallery is not None and gallery_labels is None:
        gallery_labels = labels
    found = supervise(labels, gallery_labels, own, len(keys), relevance, ignore, ignore_class)
    relevant = found.relevant
    _check_soft(labels, wanted)

    values = {metric.name: np.full(len(queries), np.nan) for metric in wanted}
    needs_first = any(metric.needs_first for metric in wanted)

    def depth(most_relevant: int) -> int:
        deepest = max(metric.depth(most_relevant) for metric in wanted)
        return max(deepest, _RANKS_FOR_FIRST if needs_first else 1)

    def consume(which: np.ndarray, ranking: Ranking) -> None:
        for metric in wanted:
            values[metric.name][which] = metric.values(ranking)

    graded = any(metric.looks_at_gains for metric in wanted)
    rank(queries, keys, resolved, relevant, own, depth, needs_first, consume, verbose, graded)
    return EvaluationResult(
        values, found.labels, confidence, seed, found.unknown, getattr(relevant, "pairs", 0)
    )


def evaluate_lookup(
    neighbor_labels: ArrayLike,
    query_labels: TargetsLike,
    relevant: Any = None,
    metrics: object = None,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    present: ArrayLike | None = None,
) -> EvaluationResult:
    """Evaluates the result of a lookup, with the same metrics as `evaluate`.

    A lookup of k neighbours covers k ranks. `metric@j` needs j <= k;
    `r_precision` and `map@r` need k to be at least the number of relevant
    records of every query; `mrr` needs the whole ranking; use `mrr@k` instead.

    Args:
        neighbor_labels: Class ids or names of the neighbours `[queries, k]`, nearest first
            (`Neighbors.labels`); −1 or None where there is none, or it has no label. If a
            query is itself in the index, remove it from its neighbours first; otherwise it is
            its own first hit.
        query_labels: Labels of the queries `[queries]`, as for `evaluate`: classes, or several
            labels. Queries of unknown class are left out.
        relevant: Number of records in the index that are relevant to a query: a mapping from
            class id or name to number, or an array `[queries]`. None: unknown; then only
            `hit_rate@k`, `precision@k` and `mrr@k` are available, and no query is left out.
        metrics: As for `evaluate`; None: the default metrics for which the lookup is deep
            enough.
        confidence: Level of the intervals, between 0 and 1.
        seed: Seed of the bootstrap.
        present: bool `[queries, k]`, False where there is no neighbour (padding)
            or it has no label. None: all are there.

    Returns:
        An `EvaluationResult`.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If shapes do not match, or a metric needs a deeper lookup; the error says
            how many neighbours to look up.

    Example:

    ```python
    from tensorflow_similarity.evaluation import evaluate_lookup

    neighbor_labels = [[3, 3, 1], [1, 3, 3], [7, 1, 1]]  # Neighbors.labels of a lookup.
    print(evaluate_lookup(neighbor_labels, [3, 3, 1], metrics=["precision@1", "hit_rate@3"]))
    ```
    """
    hits, _, queries = lookup_labels(neighbor_labels, query_labels)
    shape = hits.shape
    if not len(queries):
        raise ValueError("There must be queries. Received: `query_labels` of length 0.")
    confidence = checks.fraction(confidence, "confidence")
    checks.rng(seed)
    counts = _relevant_counts(relevant, queries)
    most = None if counts is None else int(counts.max(initial=0))
    if metrics is None:
        metrics = [
            metric
            for metric in rank_metrics.get_all(None)
            if _shortcoming(metric, shape[1], most) is None
        ]
    wanted = rank_metrics.get_all(metrics)
    for metric in wanted:
        shortcoming = _shortcoming(metric, shape[1], most)
        if shortcoming:
            raise ValueError(f"`metrics`: {metric.name} {shortcoming}")
    if present is not None:
        mask = checks.host_array(present, "present").astype(bool)
        if mask.shape != shape:
            raise ValueError(
                f"`present` must have the shape of `neighbor_labels`, {shape}. "
                f"Received: shape {mask.shape}."
            )
        hits &= mask
    counted = np.flatnonzero(queries.known if counts is None else (counts > 0) & queries.known)
    # Without counts no metric below looks at R: any positive number will do.
    known = np.ones(len(queries), np.int64) if counts is None else counts
    ranking = Ranking(hits[counted], known[counted])
    values = {metric.name: np.full(len(queries), np.nan) for metric in wanted}
    for metric in wanted:
        values[metric.name][counted] = metric.values(ranking)
    labels = shown_labels(queries, query_labels)
    return EvaluationResult(values, labels, confidence, seed, ~queries.known)


def _shortcoming(metric: RankMetric, k: int, most_relevant: int | None) -> str | None:
    """Why a lookup of `k` neighbours does not suffice for the metric, or None."""
    if metric.needs_first:
        return f"needs the whole ranking. Use mrr@{k}, or evaluate the embeddings."
    if most_relevant is None and metric.looks_at_relevant:
        return "needs the number of relevant records: pass `relevant`, e.g. records per class."
    needed = metric.depth(most_relevant or 0)
    if needed > k:
        return f"needs {needed} neighbours. Received: {k}. Look up k={needed}."
    return None


def _relevant_counts(relevant: Any, queries: Targets) -> np.ndarray | None:
    if relevant is None:
        return None
    if hasattr(relevant, "keys"):
        if queries.kind != "classes":
            raise TypeError(
                "`relevant` must be an array [queries] where queries have several labels. "
                "Received: a mapping."
            )
        classes, inverse = np.unique(queries.ids, return_inverse=True)
        keys = queries.decode(classes).tolist()
        per_class = [int(relevant[c]) if c in relevant else 0 for c in keys]
        return np.asarray(per_class, np.int64)[inverse.reshape(-1)]
    counts = checks.class_ids(relevant, "relevant", len(queries))
    if (counts < 0).any():
        raise ValueError(f"`relevant` must be counts of at least 0. Received: {int(counts.min())}.")
    return counts


def _own_positions(positions: object, queries: int, keys: int) -> np.ndarray:
    if positions is None:
        return np.full(queries, -1, np.int64)
    own = checks.class_ids(positions, "query_positions", queries)
    if len(own) and (own.min() < -1 or own.max() >= keys):
        raise ValueError(
            f"`query_positions` must be gallery positions from 0 to {keys - 1}, or -1. "
            f"Received: values from {own.min()} to {own.max()}."
        )
    return own


def _says_all(labels: TargetsLike) -> bool:
    """Whether the labels alone define which key is relevant to which query."""
    return isinstance(labels, Targets) and labels.kind == "relevance" and hasattr(labels, "matrix")


def _check_soft(labels: TargetsLike, wanted: list[RankMetric]) -> None:
    """Raises if probabilities would make nearly everything relevant."""
    others = [metric.name for metric in wanted if not metric.looks_at_gains]
    if isinstance(labels, Targets) and labels.kind == "soft" and others:
        raise ValueError(
            "`metrics` must be ndcg@k for probabilities of classes, by which nearly every key is a "
            f"little relevant. Received: {others}. For the most probable class of each pass "
            "np.argmax(y, axis=1)."
        )
