"""Measured recall: how much of the truth lookups find, and at what effort."""

from __future__ import annotations

import dataclasses
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tensorflow_similarity.index.search import Graph, State, search

__all__ = ["MeasuredRecall", "Sample", "measure", "seconds_exact", "tune", "warn_below"]

_QUERIES = 256
_NEIGHBORS = 10
# Lookups timed alone, and how often a batch is timed.
_SINGLES = 32
_BATCHES = 3


@dataclasses.dataclass(frozen=True)
class MeasuredRecall:
    """What lookups were measured to find, and how long they took.

    Attributes:
        recall: The share of the true k nearest that they returned, on average.
        k: The neighbours asked for.
        queries: The number of queries.
        effort: The engine's effort (`ef`, …).
        seconds: Seconds per query, in one batch.
        records: Records in the index at that time.
        latency: Seconds of one query alone; None if it was not measured.
    """

    recall: float
    k: int
    queries: int
    effort: int
    seconds: float
    records: int
    latency: float | None = None

    def get_config(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Sample:
    """Queries with known answers.

    Attributes:
        queries: float32 `[q, dim]`.
        own: The row of each query, which is no neighbour of itself; None for
            queries that are not records.
        k: The neighbours to look for.
        farthest: The true distance of the k-th nearest, per query.
        found: How many there are to find: k, or all records if they are fewer.
    """

    queries: np.ndarray
    own: np.ndarray | None
    k: int
    farthest: np.ndarray
    found: int

    @classmethod
    def of(cls, state: State, queries: np.ndarray | None = None, k: int = _NEIGHBORS) -> Sample:
        """Queries, or some of the live records if there are none, answered by exact search."""
        own = None
        if queries is None:
            rows = np.flatnonzero(state.rows.live)
            chosen = np.random.default_rng(0).permutation(len(rows))[:_QUERIES]
            own = rows[np.sort(chosen)]
            queries = state.rows.vectors[own]
        found = min(k, state.rows.live_count - (own is not None))
        answers, distances, _ = _exact(state, queries, k + (own is not None))
        truth = _without(answers, distances, own)[:, :found]
        farthest = truth[:, -1] if found else np.full(len(queries), -np.inf, np.float32)
        return cls(queries, own, k, farthest, found)

    @property
    def asked(self) -> int:
        """Neighbours to ask for, so that k are left without the query itself."""
        return self.k + (self.own is not None)


def tune(state: State, graph: Graph, target: float, sample: Sample | None = None) -> MeasuredRecall:
    """Sets the smallest effort of the engine that reaches the target, and says what it gives.

    Measured on a sample of the records, each looking for the others.

    Args:
        state: What the graph was built of.
        graph: What was built.
        target: The recall wanted, at 10 neighbours.
        sample: Queries with answers; None to take some of the records.
    """
    engine, state = graph.engine, dataclasses.replace(state, graph=graph)
    sample = Sample.of(state) if sample is None else sample
    fixed = engine.fixed_effort
    for effort in (fixed,) if fixed is not None else engine.efforts or (engine.effort,):
        engine.effort = effort
        if _recall(state, sample) >= target:
            break
    return _timed(state, sample)


def measure(state: State, graph: Graph, queries: np.ndarray | None, k: int) -> MeasuredRecall:
    """Measures lookups as they are now, of given queries or of a sample of the records."""
    state = dataclasses.replace(state, graph=graph)
    return _timed(state, Sample.of(state, queries, k))


def seconds_exact(state: State, sample: Sample) -> tuple[float, float]:
    """Seconds per query of exact search: in a batch, and alone."""
    return _seconds(sample, lambda queries: _exact(state, queries, sample.asked))


def warn_below(measured: MeasuredRecall, target: float, before: float | None = None) -> None:
    """Warns where less was found than wanted, and tells what it was `before`."""
    if measured.recall >= target:
        return
    decay = "" if before is None or before <= measured.recall else f" (it was {before:.1%})"
    warnings.warn(
        f"The index finds {measured.recall:.1%} of the true nearest{decay}, less than its "
        f"`target_recall` of {target:.1%}. `compact` builds its graph anew; larger M and "
        "efConstruction in `search_params` make a graph better, and search='exact' finds all.",
        stacklevel=3,
    )


def _exact(state: State, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, int]:
    return search(dataclasses.replace(state, graph=None), queries, k)


def _timed(state: State, sample: Sample) -> MeasuredRecall:
    seconds, latency = _seconds(sample, lambda queries: search(state, queries, sample.asked))
    return MeasuredRecall(
        recall=_recall(state, sample),
        k=sample.k,
        queries=len(sample.queries),
        effort=0 if state.graph is None else state.graph.engine.effort,
        seconds=seconds,
        records=state.rows.live_count,
        latency=latency,
    )


def _recall(state: State, sample: Sample) -> float:
    if not sample.found or not len(sample.queries):
        return 1.0
    rows, distances, _ = search(state, sample.queries, sample.asked)
    # By distance, not by row: of records at equal distance any will do.
    nearest = _without(rows, distances, sample.own)[:, : sample.found]
    return float((nearest <= sample.farthest[:, None]).mean())


def _without(rows: np.ndarray, distances: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Sorted distances, without that of the query itself."""
    if own is None:
        return distances
    return np.sort(np.where(rows == own[:, None], np.inf, distances), axis=1)


def _seconds(sample: Sample, look: Callable[[np.ndarray], Any]) -> tuple[float, float]:
    if not len(sample.queries):
        return 0.0, 0.0
    batch = min(_time(look, sample.queries) for _ in range(_BATCHES)) / len(sample.queries)
    singles = [
        _time(look, sample.queries[i : i + 1]) for i in range(len(sample.queries))[:_SINGLES]
    ]
    return batch, statistics.median(singles)


def _time(look: Callable[[np.ndarray], Any], queries: np.ndarray) -> float:
    begin = time.perf_counter()
    look(queries)
    return time.perf_counter() - begin
