"""Measured recall: how much of the truth an engine finds, and at what effort."""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Any

import numpy as np

from tensorflow_similarity.index.search import Graph, State

__all__ = ["MeasuredRecall", "measure", "tune"]

_QUERIES = 256
_NEIGHBORS = 10


@dataclasses.dataclass(frozen=True)
class MeasuredRecall:
    """What an engine was measured to find.

    Attributes:
        recall: The share of the true k nearest that it returned, on average.
        k: The neighbours asked for.
        queries: The number of queries.
        effort: The engine's effort (`ef`, …).
        seconds: Seconds per query, in one batch.
        records: Records in the index at that time.
    """

    recall: float
    k: int
    queries: int
    effort: int
    seconds: float
    records: int

    def get_config(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return dataclasses.asdict(self)


def tune(state: State, graph: Graph, target: float) -> MeasuredRecall:
    """Sets the smallest effort of the engine that reaches the target, and says what it gives.

    Measured on a sample of the records, each looking for the others.

    Args:
        state: What the graph was built of.
        graph: What was built.
        target: The recall wanted, at 10 neighbours.
    """
    engine = graph.engine
    queries, own = _sample(graph, state)
    truth = _truth(state, graph, queries, own, _NEIGHBORS)
    fixed = engine.fixed_effort
    for effort in (fixed,) if fixed is not None else engine.efforts or (engine.effort,):
        engine.effort = effort
        measured = _measured(state, graph, queries, own, truth, _NEIGHBORS)
        if measured.recall >= target:
            return measured
    return measured


def warn_below(measured: MeasuredRecall, target: float) -> None:
    """Warns where less was found than wanted."""
    if measured.recall < target:
        warnings.warn(
            f"The index finds {measured.recall:.1%} of the true nearest, less than its "
            f"`target_recall` of {target:.1%}. `compact` builds its graph anew; larger M and "
            "efConstruction in `search_params` make it better, and search='exact' finds all.",
            stacklevel=3,
        )


def measure(state: State, graph: Graph, queries: np.ndarray | None, k: int) -> MeasuredRecall:
    """Measures recall at the present effort, on given queries or a sample of the records."""
    own = None
    if queries is None:
        queries, own = _sample(graph, state)
    return _measured(state, graph, queries, own, _truth(state, graph, queries, own, k), k)


def _sample(graph: Graph, state: State) -> tuple[np.ndarray, np.ndarray]:
    rows = _answerable(graph, state)
    chosen = np.random.default_rng(0).permutation(len(rows))[:_QUERIES]
    own = rows[np.sort(chosen)]
    return state.rows.vectors[own], own


def _answerable(graph: Graph, state: State) -> np.ndarray:
    rows = graph.rows[graph.rows >= 0]
    return rows[state.rows.live[rows]]


def _truth(
    state: State, graph: Graph, queries: np.ndarray, own: np.ndarray | None, k: int
) -> np.ndarray:
    """The distance of the k-th nearest other record, per query."""
    mask = np.zeros(len(state.rows), bool)
    mask[_answerable(graph, state)] = True
    wanted = min(k + (own is not None), int(mask.sum()))
    rows, distances = state.scan.search(queries, state.rows.vectors, wanted, 0, mask)
    return _without(rows, distances, own)[:, :k][:, -1]


def _without(rows: np.ndarray, distances: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Sorted distances, without that of the query itself."""
    if own is not None:
        distances = np.where(rows == own[:, None], np.inf, distances)
    return np.sort(np.where(rows < 0, np.inf, distances), axis=1)


def _measured(
    state: State,
    graph: Graph,
    queries: np.ndarray,
    own: np.ndarray | None,
    truth: np.ndarray,
    k: int,
) -> MeasuredRecall:
    ask = min(k + (own is not None), len(graph.rows))
    begin = time.perf_counter()
    positions = graph.engine.search(queries, ask)
    seconds = (time.perf_counter() - begin) / len(queries)
    rows = np.where(positions < 0, -1, graph.rows[positions])
    rows[~state.rows.live[rows]] = -1
    distances = state.scan.distances(queries, state.rows.vectors, rows)
    hits = (_without(rows, distances, own)[:, :k] <= truth[:, None]).sum(axis=1)
    return MeasuredRecall(
        recall=float(np.minimum(hits / k, 1).mean()),
        k=k,
        queries=len(queries),
        effort=graph.engine.effort,
        seconds=seconds,
        records=state.rows.live_count,
    )
