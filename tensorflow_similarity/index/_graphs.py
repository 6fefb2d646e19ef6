"""When an engine builds its graph, and of what.

Building costs as much as scanning every record ten thousand times, so it must
pay. The rule is that of renting or buying: records that no graph holds yet are
scanned, until that has cost as much as a graph that holds them. Whatever comes
after, the total is then at most twice what the best choice would have cost.

Measured recall: how much of the truth lookups find, and at what effort.

Which engine, and with which parameters: chosen by trying on the records themselves.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index import engines
from tensorflow_similarity.index._records import Batch, Store
from tensorflow_similarity.index._search import FEW_ROWS, Graph, State, search, transformed
from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.exact import ExactScan

__all__ = [
    "Built",
    "Folding",
    "MeasuredRecall",
    "Sample",
    "build_reaching",
    "measure",
    "seconds_exact",
    "seconds_of",
    "takes",
    "trial_order",
    "tune",
    "warn_below",
]

_QUERIES = 256
_NEIGHBORS = 10
# Lookups timed alone, and how often a batch is timed.
_SINGLES = 32
_BATCHES = 3


@dataclasses.dataclass(frozen=True)
class MeasuredRecall:
    """The measured recall of lookups, and how long they took.

    Attributes:
        recall: The share of the true k nearest that they returned, on average.
        k: The neighbours asked for.
        queries: The number of queries.
        effort: The engine's effort (`ef`, …).
        seconds: Seconds per query, in one batch.
        records: Records in the index at that time.
        latency: Seconds of one query alone; None if it was not measured.
        storage: The share that exact search finds, where embeddings are stored in fewer
            bytes; None where nothing is lost in storing, or it was not measured.
    """

    recall: float
    k: int
    queries: int
    effort: int
    seconds: float
    records: int
    latency: float | None = None
    storage: float | None = None

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
        """A sample from given queries, or else from the live records, answered by exact search."""
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
    """Sets the smallest effort of the engine that reaches the target; returns its recall.

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
    """Measures lookups at the current effort, with given queries or a sample of the records."""
    state = dataclasses.replace(state, graph=graph)
    return _timed(state, Sample.of(state, queries, k))


def seconds_exact(state: State, sample: Sample) -> tuple[float, float]:
    """Seconds per query of exact search: in a batch, and alone."""
    return _seconds(sample, lambda queries: _exact(state, queries, sample.asked))


def seconds_of(state: State, sample: Sample) -> tuple[float, float]:
    """Seconds per query of lookups as they are: in a batch, and alone."""
    return _seconds(sample, lambda queries: search(state, queries, sample.asked))


def warn_below(measured: MeasuredRecall, target: float, before: float | None = None) -> None:
    """Warns if the recall is below the target, and mentions what it was `before`."""
    if measured.recall >= target:
        return
    decay = "" if before is None or before <= measured.recall else f" (it was {before:.1%})"
    warnings.warn(
        f"The index finds {measured.recall:.1%} of the true nearest{decay}, less than its "
        f"`target_recall` of {target:.1%}. `compact` builds its graph again; larger M and "
        "efConstruction in `search_params` make a graph better, and search='exact' finds all.",
        stacklevel=levels_to_the_caller(),
    )


def _exact(state: State, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, int]:
    return search(dataclasses.replace(state, graph=None), queries, k)


def _timed(state: State, sample: Sample) -> MeasuredRecall:
    seconds, latency = seconds_of(state, sample)
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
    # Compared by distance, not by row: any of several equally distant records will do.
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


# Engines are tried on this share of the records, and on no fewer and no more than these.
_TRIAL_SHARE = 8
_TRIAL_RECORDS = 4096, 16_384


@dataclasses.dataclass(frozen=True)
class Built:
    """A graph, its measured recall, and whether that reaches the target."""

    graph: Graph
    recall: MeasuredRecall
    reached: bool


def takes(kind: type[Engine], params: Mapping[str, Any]) -> bool:
    """Whether an engine has all these parameters."""
    return params.keys() <= kind.parameters.keys() | kind.options.keys()


def build_reaching(
    kind: type[Engine],
    params: Mapping[str, Any],
    state: State,
    target: float,
    sample: Sample,
) -> Built:
    """Builds a graph of all live records that reaches the target, or the best there is.

    Parameters that the user left open are raised, and the graph built again,
    where no effort reaches the target. An effort that the user fixed is kept,
    whatever it finds.

    Args:
        kind: The engine.
        params: What the user fixed of its parameters.
        state: The records.
        target: The recall to reach.
        sample: Queries with answers.
    """
    rows = np.flatnonzero(state.rows.live)
    vectors = state.rows.vectors[rows if state.rows.dead else slice(None)]
    product = state.scan.product
    if product is None:
        raise ValueError(f"No product ranks {state.scan.distance!r}: engines cannot search it.")
    if product.transform is not None:
        vectors = transformed(product, vectors)
    for own in _steps(kind, params):
        engine = kind(product.space, own)
        engine.may_share = product.transform is None
        engine.build(vectors)
        graph = Graph(engine, rows, covered=len(state.rows))
        recall = tune(state, graph, target, sample)
        if recall.recall >= target or engine.fixed_effort is not None:
            break
    return Built(graph, recall, recall.recall >= target)


def trial_order(
    kinds: Sequence[type[Engine]], params: Mapping[str, Any], state: State, target: float
) -> list[type[Engine]]:
    """The engines that reach the target on a sample of the records, fastest first.

    Those that did not reach it come last.
    """
    if len(kinds) < 2:
        return list(kinds)
    part = _part(state)
    sample = Sample.of(part)
    tried = [(kind, build_reaching(kind, params, part, target, sample)) for kind in kinds]
    tried.sort(key=lambda trial: (not trial[1].reached, _cost(trial[1].recall)))
    return [kind for kind, _ in tried]


def _cost(recall: MeasuredRecall) -> float:
    """Single queries weigh more as they are slower, batches as they are larger."""
    return recall.seconds + (recall.latency or 0)


def _steps(kind: type[Engine], params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Build parameters to try, from quick to thorough."""
    before = None
    for build in kind.builds:
        step = {**build, **params}
        if step != before:
            yield step
        before = step


def _part(state: State) -> State:
    """Some of the live records, as an index of their own."""
    rows, (least, most) = np.flatnonzero(state.rows.live), _TRIAL_RECORDS
    size = min(max(len(rows) // _TRIAL_SHARE, least), most, len(rows))
    chosen = np.sort(np.random.default_rng(0).choice(rows, size, replace=False))
    batch = Batch(
        np.arange(size),
        state.rows.vectors[chosen],
        np.zeros(size, np.int64),
        np.zeros(size, bool),
        None,
    )
    return State(Store.of(batch).rows, ExactScan(state.scan.distance), None)


# Measured with HNSW (M = 16, efConstruction = 100): putting one record into a
# graph takes the time of comparing it with this many queries of a batch.
_BUILD_COST = 150_000
# A single query is bound by memory, and costs as much as this many of a batch.
_SINGLE_COST = 16
# With search="auto", engines that are built on all records, at most, to find one that serves.
_TRIES = 2
# With search="auto", numbers up to here are scanned in a few milliseconds by
# one query, and no graph is built.
_FAST_NUMBERS = 1 << 25


@dataclasses.dataclass
class Folding:
    """Decides when to build a graph, and builds it.

    Args:
        engine: The engine, or None to always scan. With `automatic`, the one that
            is always installed.
        space: Where the distance is ranked, see `distances.Product`; None where it is not.
        params: The engine's parameters.
        target_recall: The recall to reach.
        automatic: Whether scanning all is preferred while it is fast, and the
            engine chosen from those that are installed.
        background: Whether a thread of its own builds.
        debt: What scanning has cost since a graph was built.
        in_vain: Records at which no graph was worth having.
        patience: The debt at which to try again, after a build that failed.
    """

    engine: type[Engine] | None
    space: str | None
    params: dict[str, Any]
    target_recall: float
    automatic: bool
    background: bool = False
    debt: float = 0.0
    in_vain: int = 0
    patience: float = 0.0

    @property
    def in_place(self) -> bool:
        """Whether a graph may walk over the rows of the index itself."""
        return any(kind.in_place for kind in self._kinds())

    def new_engine(self) -> Engine | None:
        """A new engine; None if records are to be scanned."""
        kinds = self._kinds()
        return kinds[0](self.space, self.params) if kinds and self.space else None

    def saved_engine(self, name: str | None, params: Mapping[str, Any] | None) -> Engine | None:
        """The engine to read a saved graph with; None if it is no longer installed.

        Args:
            name: Its name, None for the only one there was.
            params: What it was built with, likewise.
        """
        kinds = {kind.name: kind for kind in self._kinds()}
        if name is None:
            return self.new_engine()
        return kinds[name](self.space, params or {}) if name in kinds and self.space else None

    def _kinds(self) -> list[type[Engine]]:
        if self.engine is None or self.space is None or self.space not in self.engine.distances:
            return []
        if not self.automatic:
            return [self.engine]
        kinds = [
            kind
            for kind in engines.installed(self.space)
            if kind.automatic and takes(kind, self.params)
        ]
        return kinds or [self.engine]  # which refuses its parameters

    def owe(self, queries: int, scanned: int) -> None:
        """Adds the cost of a lookup that scanned this many rows per query."""
        each = 1 if queries > _SINGLE_COST else _SINGLE_COST
        self.debt += each * queries * scanned

    def worthwhile(self, state: State) -> bool:
        """Whether a graph of all records may be faster than scanning them."""
        rows = state.rows
        if self.engine is None or self.space not in self.engine.distances:
            return False
        if rows.live_count <= FEW_ROWS or not self.automatic:
            return rows.live_count > FEW_ROWS
        numbers = rows.live_count * rows.vectors.shape[1]
        return numbers > _FAST_NUMBERS and rows.live_count > 2 * self.in_vain

    def due(self, state: State) -> bool:
        """Whether the next lookup should build first."""
        if self.debt < self.patience:
            return False
        if state.graph is None and not self.automatic:
            return self.worthwhile(state)
        return self.debt > _BUILD_COST * state.rows.live_count and self.worthwhile(state)

    def failed(self, state: State) -> None:
        """Delays the next build until lookups have cost as much as a build, doubling each time."""
        self.patience = max(2 * self.patience, float(_BUILD_COST * max(state.rows.live_count, 1)))

    def build(self, state: State) -> tuple[Graph | None, MeasuredRecall | None] | None:
        """Builds a graph of all live records, at the effort that reaches the target.

        Returns:
            The graph and what it was measured to find. Nothing in their place
            where the engine may be chosen, and none is better than scanning.
            None where there is no engine.
        """
        kinds = self._kinds()
        if not kinds:
            return None
        sample = Sample.of(state)
        if not self.automatic:
            built = build_reaching(kinds[0], self.params, state, self.target_recall, sample)
            return built.graph, built.recall
        for kind in trial_order(kinds, self.params, state, self.target_recall)[:_TRIES]:
            built = build_reaching(kind, self.params, state, self.target_recall, sample)
            if self._serves(built, state, sample):
                return built.graph, built.recall
        self.in_vain = state.rows.live_count
        return None, None

    def _serves(self, built: Built, state: State, sample: Sample) -> bool:
        """Whether a graph is fast, and reaches the target or the effort that the user chose."""
        settled = built.graph.engine.fixed_effort is not None
        if not built.reached and not settled:
            return False
        own = built.recall.seconds + (built.recall.latency or 0)
        return own < sum(seconds_exact(state, sample))
