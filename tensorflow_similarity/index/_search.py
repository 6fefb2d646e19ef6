"""One lookup over the graph of an engine and the rows added since.

The graph of an engine never changes. Rows that were added since are scanned
exactly, rows that died since are dropped from what the graph returns, and all
distances are computed again, so that results do not tell how a record is held.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tensorflow_similarity.distances import Product
from tensorflow_similarity.index._records import Rows
from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.exact import ExactScan

__all__ = ["Graph", "State", "search", "transformed"]

# Up to this many rows, a scan is faster than a search in a graph.
FEW_ROWS = 2048
# The number of rows that a scan reads in the time a graph takes per neighbour.
_ROWS_PER_NEIGHBOR = 64
# Extra candidates to request if some will be dropped.
_SPARE = 1.2, 8
_NONE = np.empty(0, np.int64)
# So many are sorted before they could be packed for that.
_FEW_SORTED = 256
# Rows whose positions fit into 32 bits, with a sign.
_MOST_PACKED = 2**31
_MAGNITUDE = np.int32(0x7FFFFFFF)


@dataclasses.dataclass(frozen=True)
class Graph:
    """The graph of an engine, and the rows that it was built from.

    Attributes:
        engine: The engine.
        rows: The row of each of its positions, int64 `[m]`; -1 for rows that
            are gone.
        covered: Rows from here on came later.
    """

    engine: Engine
    rows: np.ndarray
    covered: int

    def moved(self, kept: np.ndarray) -> Graph:
        """The same graph after all rows but `kept` (increasing) were dropped."""
        place = np.searchsorted(kept, self.rows)
        place[place == len(kept)] = 0
        there = (kept[place] if len(kept) else -2) == self.rows
        return dataclasses.replace(
            self,
            rows=np.where(there, place, -1),
            covered=int(np.searchsorted(kept, self.covered)),
        )


@dataclasses.dataclass(frozen=True)
class State:
    """Everything a lookup needs, published at once and immutable."""

    rows: Rows
    scan: ExactScan
    graph: Graph | None


def transformed(product: Product, rows: np.ndarray) -> np.ndarray:
    """Rows as an engine takes them: float32, C-contiguous."""
    if product.transform is None:
        return rows
    return np.ascontiguousarray(product.rows(rows, np), np.float32)


def search(
    state: State, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The k nearest live rows of each query.

    Args:
        state: What to search.
        queries: float32 `[q, dim]`.
        k: How many.
        allowed: bool `[n]`, the rows that may be returned, all alive; None for
            all that are alive.

    Returns:
        rows: int64 `[q, k]`, padded with -1.
        distances: float32 `[q, k]`, padded with inf.
        scanned: How many rows were scanned exactly for each query.
    """
    rows, graph = state.rows, state.graph
    mask = rows.mask if allowed is None else allowed
    total = rows.live_count if allowed is None else int(allowed.sum())
    wanted = min(k, total)
    if graph is None or not len(queries):
        return *_padded(_scan(state, queries, wanted, 0, mask), k), total
    tail = len(rows) - graph.covered
    if mask is not None and tail:
        tail = int(mask[graph.covered :].sum())
    built = total - tail  # what may be returned from the graph
    ask = _overask(len(graph.rows), built, wanted)
    if max(FEW_ROWS, _ROWS_PER_NEIGHBOR * ask) > total:
        return *_padded(_scan(state, queries, wanted, 0, mask), k), total
    found, short = _from_graph(state, graph, queries, ask, wanted, built, mask)
    if tail:
        newer = _scan(state, queries, min(k, tail), graph.covered, mask)
        both = (np.concatenate(columns, axis=1) for columns in zip(found, newer, strict=True))
        found = _nearest(rows, next(both), next(both), wanted)
    result = _padded(found, k)
    if len(short):
        repaired = _padded(_scan(state, queries[short], wanted, 0, mask), k)
        for column, values in zip(result, repaired, strict=True):
            column[short] = values
    return *result, tail


def _overask(size: int, built: int, wanted: int) -> int:
    """How many candidates to request from a graph of `size`, of which `built` may be returned."""
    wanted = min(wanted, built)
    if built < size:
        wanted = math.ceil(_SPARE[0] * wanted * size / max(built, 1)) + _SPARE[1]
    return min(wanted, size)


def _scan(
    state: State, queries: np.ndarray, k: int, start: int, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    rows = state.rows
    return state.scan.search(queries, rows.vectors, k, start, mask, rows.tie_order)


def _from_graph(
    state: State,
    graph: Graph,
    queries: np.ndarray,
    ask: int,
    wanted: int,
    built: int,
    mask: np.ndarray | None,
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The nearest that the graph finds, and the queries for which it found too few."""
    product = state.scan.product
    own = queries if product is None else transformed(product, queries)
    positions = graph.engine.search(own, ask)
    if not positions.size:
        positions = np.full((len(queries), 1), -1)
    # Never trust the engine or its file.
    unknown = positions.min() < 0 or positions.max() >= len(graph.rows)
    nowhere = (positions < 0) | (positions >= len(graph.rows)) if unknown else None
    rows = graph.rows[positions if nowhere is None else np.where(nowhere, 0, positions)]
    if nowhere is not None:
        rows[nowhere] = -1
    if mask is not None:
        rows[~mask[rows]] = -1
    owed = min(wanted, built)
    if rows.min() >= 0 and rows.shape[1] >= owed:
        short = _NONE
    else:
        short = np.flatnonzero((rows >= 0).sum(axis=1) < owed)
    distances = state.scan.distances(queries, state.rows.vectors, rows)
    return _nearest(state.rows, rows, distances, wanted), short


def _nearest(
    source: Rows, rows: np.ndarray, distances: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest in each row, by distance, then id."""
    if rows.size > _FEW_SORTED and source.tie_order is None and len(source) <= _MOST_PACKED:
        return _unpacked(np.sort(_packed(rows, distances), axis=1)[:, :k])
    order = np.lexsort((source.ids[rows], distances), axis=-1)[:, :k]
    each = np.arange(len(order))[:, None]
    return rows[each, order], distances[each, order]


def _packed(rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Distances and rows in one int64 each, which sort as distance, then row; padding last."""
    bits = (distances + np.float32(0)).view(np.int32)  # -0 is 0
    # As whole numbers, negative ones are in the wrong order.
    bits = np.where(bits < 0, bits ^ _MAGNITUDE, bits)
    return (bits.astype(np.int64) << 32) | (rows & 0xFFFFFFFF)


def _unpacked(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bits = (packed >> 32).astype(np.int32)
    distances = np.where(bits < 0, bits ^ _MAGNITUDE, bits).view(np.float32)
    return packed.astype(np.int32).astype(np.int64), distances


def _padded(found: tuple[np.ndarray, np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    rows, distances = found
    missing = k - rows.shape[1]
    if not missing:
        return rows, distances
    return (
        np.pad(rows, ((0, 0), (0, missing)), constant_values=-1),
        np.pad(distances, ((0, 0), (0, missing)), constant_values=np.inf),
    )
