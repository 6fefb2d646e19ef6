"""How many true neighbours are lost by storing embeddings in fewer bytes.

What was added is gone, so this is estimated: records and queries are put anywhere
between the numbers that are rounded to what is stored, and looked up both there
and in what is stored. Where the roundings tell as much apart as the embeddings do,
few of the neighbours are the same.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.index._graphs import MeasuredRecall, Sample, seconds_of
from tensorflow_similarity.index._records import Rows, Store
from tensorflow_similarity.index._search import State, search
from tensorflow_similarity.index._vectors import EncodedRows
from tensorflow_similarity.index.engines.exact import ExactScan

__all__ = ["StorageLosses"]

# What the first lookups measure automatically: this many queries among this many records.
_FEW_QUERIES = 64
_MOST_RECORDS = 1 << 15
_FEWEST_RECORDS = 64
_QUERIES = 256
_NEIGHBORS = 10
# Measured again after the number of records has grown by this factor.
_AGAIN = 8
# Different roundings, and what chooses among them for a record.
_ROUNDINGS = 1021
# Rows of fewer numbers may be stored alike without being alike.
_TELLING = 8


class _Unrounded:
    """Encoded rows, each somewhere in what is stored as it is. The same at each reading.

    Args:
        rows: The rows.
    """

    def __init__(self, rows: EncodedRows) -> None:
        self._rows, self.shape = rows, rows.shape
        rng = np.random.default_rng(0)
        self._table = rng.uniform(-0.5, 0.5, (_ROUNDINGS, rows.shape[1])).astype(np.float32)
        self._weights = rng.integers(1, 2**62, rows.shape[1] + 1, np.uint64)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self._rows.taken(key)
        rows = part[...]
        rows += part.steps() * self._table[self._chosen(part, key)]
        return rows

    def take(self, indices: Any, axis: int = 0) -> np.ndarray:
        """As that of an array, for the first axis."""
        return self[np.asarray(indices)]

    def _chosen(self, part: EncodedRows, key: Any) -> np.ndarray:
        codes = np.asarray(part.codes[:])
        if codes.dtype == np.float16 and self.shape[1] < _TELLING:
            return np.arange(len(self))[key] % _ROUNDINGS
        # Equal records are rounded alike, or they would not find each other.
        numbers = codes.view(np.uint8 if codes.dtype == np.int8 else np.uint16).astype(np.uint64)
        told = numbers @ self._weights[:-1]
        told += part.scales.view(np.uint32).astype(np.uint64) * self._weights[-1]
        return ((told >> np.uint64(20)) % np.uint64(_ROUNDINGS)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class _Truth:
    """Queries, and their neighbours in what was added, as far as one can tell."""

    state: State
    queries: np.ndarray
    own: np.ndarray | None
    k: int
    nearest: np.ndarray

    @classmethod
    def of(cls, state: State, queries: np.ndarray | None, k: int, count: int) -> _Truth:
        vectors: Any = state.rows.vectors
        rows = dataclasses.replace(state.rows, vectors=_Unrounded(vectors))
        true = State(rows, ExactScan(state.scan.distance), None)
        own = None
        if queries is None:
            live = np.flatnonzero(rows.live)
            own = np.sort(np.random.default_rng(0).permutation(live)[:count])
            queries = rows.vectors[own]
        k = min(k, rows.live_count - (own is not None))
        nearest = _others(search(true, queries, k + (own is not None))[0], own)[:, :k]
        return cls(true, queries, own, k, nearest)

    def found(self, state: State) -> float:
        """The share of the true neighbours that lookups in a state return."""
        if not self.nearest.size:
            return 1.0
        rows = search(state, self.queries, self.k + (self.own is not None))[0]
        rows = _others(rows, self.own)[:, : self.k]
        if state.scan.product is None:
            hits = [np.isin(a, b) for a, b in zip(rows, self.nearest, strict=True)]
            return float(np.mean(hits))
        # Compared by distance, since any of several equally distant records will do.
        true, vectors = self.state.scan, self.state.rows.vectors
        farthest = true.distances(self.queries, vectors, self.nearest[:, -1:])
        return float((true.distances(self.queries, vectors, rows) <= farthest).mean())


def _others(rows: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Rows in their order, that of the query itself last."""
    if own is None:
        return rows
    order = np.argsort(rows == own[:, None], axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1)


class StorageLosses:
    """Keeps the measured losses of an index, and warns once."""

    def __init__(self) -> None:
        self._records = 0
        self._warned = False

    def check(self, state: State, target: float) -> None:
        """Measures with the first lookups, and as the index grows."""
        rows = state.rows
        if not isinstance(rows.vectors, EncodedRows) or self._warned:
            return
        if rows.live_count < max(_FEWEST_RECORDS, _AGAIN * self._records):
            return
        self._records = rows.live_count
        state = dataclasses.replace(state, rows=_some(rows), graph=None)
        state = dataclasses.replace(state, scan=ExactScan(state.scan.distance))
        self._warn(_Truth.of(state, None, _NEIGHBORS, _FEW_QUERIES).found(state), target)

    def measure(
        self, state: State, queries: np.ndarray | None, k: int, target: float
    ) -> MeasuredRecall:
        """The recall of the original neighbours, by given queries or a sample of the records."""
        truth = _Truth.of(state, queries, k, _QUERIES)
        stored = truth.found(dataclasses.replace(state, graph=None))
        recall = stored if state.graph is None else truth.found(state)
        sample = Sample(truth.queries, truth.own, k, np.empty(0, np.float32), truth.k)
        seconds, latency = seconds_of(state, sample)
        if stored < target:
            self._warn(stored, target)
        elif recall < target:
            self._warn_of_graph(recall, target)
        return MeasuredRecall(
            recall=recall,
            k=k,
            queries=len(truth.queries),
            effort=0 if state.graph is None else state.graph.engine.effort,
            seconds=seconds,
            records=state.rows.live_count,
            latency=latency,
            storage=stored,
        )

    def _warn(self, stored: float, target: float) -> None:
        if self._warned or stored >= target:
            return
        self._warned = True
        warnings.warn(
            f"Of the true nearest, {stored:.1%} are found in what is stored of the embeddings, "
            f"less than the `target_recall` of {target:.1%}: numbers are rounded as much as they "
            "differ. Make the index with storage='float16' or 'float32', or with a lower "
            "`target_recall` if that is enough. `measure_recall` tells more.",
            stacklevel=levels_to_the_caller(),
        )

    def _warn_of_graph(self, recall: float, target: float) -> None:
        warnings.warn(
            f"The index finds {recall:.1%} of the true nearest, less than its `target_recall` of "
            f"{target:.1%}. `compact` builds its graph again; larger M and efConstruction in "
            "`search_params` make a graph better.",
            stacklevel=levels_to_the_caller(),
        )


def _some(rows: Rows) -> Rows:
    """A sample of the rows, if there are many."""
    if rows.live_count <= _MOST_RECORDS:
        return rows
    kept = np.random.default_rng(0).permutation(np.flatnonzero(rows.live))[:_MOST_RECORDS]
    return Store.of(rows.batch(np.sort(kept))).rows
