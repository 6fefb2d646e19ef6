"""Exact rankings of a gallery for many queries, streamed in blocks of queries.

Distances of a block are computed once. Each becomes an integer that holds the
distance and whether the key is relevant (`keys.py`), so one partition and one
sort of the nearest give the relevance of every rank. Where a relevant and an
irrelevant key are at the same distance their order matters: such rows are
ranked again by distance and gallery position. The rows of a block
are shared among threads, since NumPy releases the GIL to sort.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.evaluation.keys import LAST, LAST_EXACT, exact_keys, pack
from tensorflow_similarity.evaluation.metrics import Ranking
from tensorflow_similarity.evaluation.products import RankingProduct
from tensorflow_similarity.evaluation.relevance import Relevance
from tensorflow_similarity.index.engines.forks import refuse_tensorflow

__all__ = ["block_rows", "rank"]

# Distances computed at once: 128 MiB of float32, three times that at the peak.
_BLOCK_ELEMENTS = 2**25
_MOST_ROWS = 2048
# Distances that one thread ranks at once: 4 MiB, so that all passes over them
# but the first find them in the cache.
_CHUNK_ELEMENTS = 2**20
# Distances in a group whose smallest is looked at first, and how many times more groups there
# must be than distances to find.
_GROUP = 32
_FEWER = 3
# So many times what is looked for may be looked at.
_SPARE = 4
# Below this many distances in all, compiling costs more than it saves.
_WORTH_COMPILING = 2**24


def block_rows(keys: int) -> int:
    """Number of queries in a block, for a gallery of that many keys."""
    return int(np.clip(_BLOCK_ELEMENTS // max(1, keys), 1, _MOST_ROWS))


def rank(
    embeddings: np.ndarray,
    gallery: np.ndarray,
    distance: Distance,
    relevance: Relevance,
    own: np.ndarray,
    depth: Callable[[int], int],
    needs_first: bool,
    consume: Callable[[np.ndarray, Ranking], None],
    verbose: int = 0,
    needs_gains: bool = False,
) -> None:
    """Ranks the gallery for every query with a relevant key.

    Args:
        embeddings: float32 `[queries, dim]`.
        gallery: float32 `[keys, dim]`.
        distance: The distance to rank by; ties are broken by gallery row.
        relevance: Which keys are relevant.
        own: int64 `[queries]`, the gallery row that is the query itself and is
            left out of its ranking; -1 where there is none.
        depth: Ranks needed, given the largest number of relevant keys in a block.
        needs_first: Whether to fill `Ranking.first`.
        consume: Gets the positions of some queries, and their ranking. Called
            from several threads, once for every query.
        verbose: 1 shows a progress bar.
        needs_gains: Whether to fill `Ranking.gains` where relevance is graded.
    """
    n = len(gallery)
    needs_gains = needs_gains and relevance.graded
    order = relevance.query_order
    order = order[relevance.count[order] > 0]
    column = np.empty(n, np.int64)
    column[relevance.order] = np.arange(n)
    own_column = np.where(own >= 0, column[own], -1)
    distances = _Blocks(gallery[relevance.order], distance, len(order))
    rows = block_rows(n)
    threads = os.cpu_count() or 1
    progress = tqdm(total=len(order), desc="Evaluating", unit="query", disable=not verbose)
    with ThreadPoolExecutor(threads) as pool, progress:
        for begin in range(0, len(order), rows):
            queries = order[begin : begin + rows]
            values = distances(embeddings[queries])
            deep = min(depth(int(relevance.count[queries].max())), n)
            share = -(-len(queries) // threads)
            ranker = _Ranker(
                relevance, own_column, deep, needs_first, needs_gains, consume, distances.floor
            )
            parts = [slice(i, i + share) for i in range(0, len(queries), share)]
            for _ in pool.map(lambda part: ranker.run(values[part], queries[part]), parts):  # noqa: B023
                pass
            progress.update(len(queries))


class _Blocks:
    """Distances of blocks of queries to a gallery, or values that rank like them.

    Compiled if that pays off.
    """

    #: Lower bound of distances; values below it by rounding are raised to it.
    floor = -np.inf

    def __init__(self, gallery: np.ndarray, distance: Distance, queries: int) -> None:
        self._product = RankingProduct.of(distance, gallery)
        if self._product is not None:
            self.floor = self._product.floor
            return
        refuse_tensorflow(f"The distance {distance.name!r}")
        # Custom distances are written for the backend.
        self._compute: Callable[..., Any] = distance
        self._keys = keras.ops.convert_to_tensor(gallery)
        compiled = keras.backend.backend() == "tensorflow"
        if compiled and queries * len(gallery) >= _WORTH_COMPILING:
            import tensorflow as tf

            self._compute = tf.function(distance, reduce_retracing=True)

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """float32 `[rows, keys]`."""
        if self._product is not None:
            return self._product.left(queries) @ self._product.right.T
        matrix = self._compute(keras.ops.convert_to_tensor(queries), self._keys)
        return np.asarray(keras.ops.convert_to_numpy(matrix), dtype=np.float32)


class _Ranker:
    """Ranks the rows of one block of distances down to one depth."""

    def __init__(
        self,
        relevance: Relevance,
        own: np.ndarray,
        depth: int,
        needs_first: bool,
        needs_gains: bool,
        consume: Callable[[np.ndarray, Ranking], None],
        floor: float,
    ) -> None:
        self._relevance, self._own, self._depth = relevance, own, depth
        self._needs_first, self._needs_gains, self._consume = needs_first, needs_gains, consume
        self._floor = np.float32(floor)

    def run(self, distances: np.ndarray, queries: np.ndarray) -> None:
        """Ranks `distances` `[rows, keys]` of `queries`, a chunk at a time."""
        rows = max(1, _CHUNK_ELEMENTS // distances.shape[1])
        shape = (min(rows, len(queries)), distances.shape[1])
        buffers = np.empty(shape, np.float32), np.empty(shape, np.uint32)
        for begin in range(0, len(queries), rows):
            part = slice(begin, begin + rows)
            ranking = self._chunk(distances[part], queries[part], *buffers)
            self._consume(queries[part], ranking)

    def _chunk(
        self, distances: np.ndarray, queries: np.ndarray, buffer: np.ndarray, work: np.ndarray
    ) -> Ranking:
        if self._needs_gains:
            relevance, deep, columns = self._exact(distances, queries)
            gains, best = self._gains(queries, columns)
            return Ranking(relevance, self._relevance.count[queries], deep, gains, best)
        relevance, again = self._fast(distances, queries, buffer[: len(queries)], work)
        first = None
        if self._needs_first:
            first = relevance.argmax(axis=1) + 1
            again |= ~relevance.any(axis=1)
        again = np.flatnonzero(again)
        if len(again):
            relevance[again], deep, _ = self._exact(distances[again], queries[again])
            if first is not None:
                first[again] = deep
        return Ranking(relevance, self._relevance.count[queries], first)

    def _fast(
        self, distances: np.ndarray, queries: np.ndarray, buffer: np.ndarray, work: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Relevance by rank, and the rows that need the exact method."""
        (b, n), depth = distances.shape, self._depth
        np.maximum(distances, self._floor, out=buffer)
        own = self._own[queries]
        rows = np.flatnonzero(own >= 0)
        own = own[rows]
        buffer[rows, own] = 0  # Rounding may have made it negative, a costlier case.
        keys = pack(buffer)
        if keys is None:
            return np.zeros((b, depth), bool), np.ones(b, bool)
        self._relevance.mark(keys, queries)
        keys[rows, own] = LAST
        ignored = self._relevance.ignored(queries)
        if ignored is not None:
            np.copyto(keys, LAST, where=ignored)
        top = _nearest(keys, depth + 1) if depth < n else None
        if top is None:
            top = work[:b]
            np.copyto(top, keys)
            if depth < n:
                # Partitioned at `depth`, the key there is the nearest one left out.
                top.partition(depth, axis=1)
            top[:, :depth].sort(axis=1)
        ended = unclear = np.zeros(b, bool)
        if depth < n:
            # Rankings that ended earlier are unambiguous.
            ended = top[:, depth - 1] == LAST
            unclear = ((top[:, depth - 1] | 1) == (top[:, depth] | 1)) & ~ended
        top = top[:, :depth]
        relevance = (top & 1).astype(bool)
        tied = ((top[:, :-1] ^ top[:, 1:]) == 1).any(axis=1) & ~unclear
        unclear = unclear | (tied & ended)
        tied &= ~ended
        if tied.any():
            relevance[tied] = self._untie(keys[tied], top[tied, -1])
        return relevance, unclear

    def _untie(self, keys: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Relevance by rank where `last` is the largest key among the nearest `depth`."""
        # No key beyond the nearest `depth` shares its distance with `last`.
        nearest = np.flatnonzero(keys <= (last | 1)[:, None])
        columns = nearest.reshape(len(keys), -1) - np.arange(len(keys))[:, None] * keys.shape[1]
        top = keys.reshape(-1)[nearest].reshape(columns.shape).astype(np.uint64)
        by_position = self._relevance.order[columns].astype(np.uint64) << np.uint64(1)
        top = ((top >> np.uint64(1)) << np.uint64(33)) | by_position | (top & np.uint64(1))
        top.sort(axis=1)
        return (top & np.uint64(1)).astype(bool)

    def _exact(
        self, distances: np.ndarray, queries: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Relevance by rank, ties by gallery row; the first relevant rank; the gallery rows.

        What is left out of the ranking, which comes last if it comes up, is given as -1.
        """
        distances = np.maximum(distances, self._floor)
        keys = exact_keys(distances, self._relevance.mask(queries), self._relevance.order)
        own = self._own[queries]
        rows = np.flatnonzero(own >= 0)
        keys[rows, own[rows]] = LAST_EXACT
        ignored = self._relevance.ignored(queries)
        if ignored is not None:
            keys[ignored] = LAST_EXACT
        nearest = np.where(keys & np.uint64(1), keys, LAST_EXACT).min(axis=1, keepdims=True)
        first = (keys < nearest).sum(axis=1) + 1
        if self._depth < keys.shape[1]:
            keys.partition(self._depth, axis=1)
        top = np.sort(keys[:, : self._depth], axis=1)
        places = ((top & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).astype(np.int64)
        places[top == LAST_EXACT] = -1
        return (top & np.uint64(1)).astype(bool), first, places

    def _gains(self, queries: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gains by rank, and the largest ones in descending order."""
        gains = self._relevance.gains(queries)
        own = self._own[queries]
        themselves = np.flatnonzero(own >= 0)
        gains[themselves, own[themselves]] = 0
        ignored = self._relevance.ignored(queries)
        if ignored is not None:
            gains[ignored] = 0
        # Columns are gallery rows wherever relevance is graded.
        ranked = np.where(places < 0, 0, np.take_along_axis(gains, np.maximum(places, 0), axis=1))
        best = np.partition(gains, gains.shape[1] - self._depth, axis=1)[:, -self._depth :]
        return ranked, np.sort(best, axis=1)[:, ::-1]


def _nearest(keys: np.ndarray, count: int) -> np.ndarray | None:
    """The `count` smallest of each row in order, and perhaps more after them.

    The `count`-th of the minima of groups bounds what is looked for, so that few groups are
    opened and no row is partitioned.

    Args:
        keys: uint32 `[rows, n]`.
        count: At most n.

    Returns:
        uint32 `[rows, m]`; None where a partition is quicker: many are looked for, or many
        are equal.
    """
    rows, n = keys.shape
    width = n // _GROUP
    if count * _FEWER > width:
        return None
    # A group is every `width`-th key: keys of a class stand together, and would share groups.
    least = keys[:, : width * _GROUP].reshape(rows, _GROUP, width).min(axis=1)
    rest = keys[:, width * _GROUP :]
    least = np.concatenate([least, rest], axis=1)
    bound = np.partition(least, count - 1, axis=1)[:, count - 1]
    owner, group = np.nonzero(least <= bound[:, None])
    if len(owner) > _SPARE * rows * count:
        return None
    columns = group[:, None] + np.arange(0, width * _GROUP, width)
    alone = group >= width
    columns[alone] = (group[alone] + width * (_GROUP - 1))[:, None]
    values = keys.reshape(-1).take(columns + (owner * n)[:, None])
    inside = values <= bound[owner, None]
    inside[alone, 1:] = False
    counts = np.bincount(owner, weights=inside.sum(axis=1), minlength=rows).astype(np.int64)
    most = int(counts.max())
    if most > _SPARE * count + _GROUP:
        return None
    found = np.full((rows, most), ~np.uint32(0))
    found[np.arange(most) < counts[:, None]] = values[inside]
    found.sort(axis=1)
    return found
