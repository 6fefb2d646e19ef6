"""Exact search: compares every key, and returns the true nearest."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity.distances.scale import check_ranking_scale
from tensorflow_similarity.index._columns import Column, RowArray
from tensorflow_similarity.index.engines.candidates import MOST_CANDIDATES, Keys, find_candidates
from tensorflow_similarity.index.engines.forms import form_of

__all__ = ["ExactScan", "exact_search"]

# Queries whose candidates are held at a time, and candidates per neighbour.
_PANEL = 8192
_CANDIDATES_EACH = 6
# Rows that a form is fitted to, and how many times more rows make it worth fitting again.
_FIT_ROWS = 10_000
_REFIT = 8
# Rows whose terms are computed at a time.
_TERM_ROWS = 1 << 16


def exact_search(
    queries: Any, keys: Any, k: int, distance: Any = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the k nearest keys of each query, exactly.

    Distances of the results are computed by direct difference: accurate also
    for near neighbours, and exactly 0 between equal embeddings (but for the
    inner product).

    Args:
        queries: Finite numbers `[q, dim]`.
        keys: Finite numbers `[n, dim]`.
        k: How many to return; all `n` if it is larger.
        distance: Any that `distances.get` takes.

    Returns:
        positions: Positions of the nearest keys, nearest first, and the first
            position first among equals: int64 `[q, min(k, n)]`.
        distances: float32 `[q, min(k, n)]`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, a value is NaN or infinite, or k < 1.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.index import exact_search

    keys = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    exact_search([[0.0, 0.0]], keys, k=2, distance="euclidean")
    # (array([[0, 2]]), array([[0., 1.]], dtype=float32))
    ```
    """
    keys = checks.embeddings(keys, "keys")
    queries = checks.embeddings(queries, "queries", size=keys.shape[1])
    k = checks.count(k, "k")
    resolved = distances.get(distance)
    check_ranking_scale(resolved, keys, "keys")
    check_ranking_scale(resolved, queries, "queries")
    return ExactScan(resolved).search(queries, keys, min(k, len(keys)))


class ExactScan:
    """Searches rows that are only ever appended to, and caches terms of each row.

    Args:
        distance: The distance.
    """

    def __init__(self, distance: distances.Distance) -> None:
        self.distance = distance
        self.product = distances.product_of(distance)
        self._lock = threading.Lock()
        self._fit(0)

    def _fit(self, rows: int) -> None:
        self._form, self._fitted = form_of(self.distance), rows
        self._terms = Column.empty((), np.float32)

    def prepared(self, vectors: RowArray) -> tuple[Any, np.ndarray]:
        """The form of the distance, and what it keeps of each of the rows."""
        with self._lock:
            known = len(self._terms)
            if known < len(vectors):
                # What was fitted to a few rows is fitted again once there are many.
                if self._fitted < _FIT_ROWS and len(vectors) >= _REFIT * self._fitted:
                    known = 0
                    self._fit(len(vectors))
                    self._form.fit(vectors[:_FIT_ROWS])
                for start in range(known, len(vectors), _TERM_ROWS):
                    self._terms.append(self._form.terms(vectors[start : start + _TERM_ROWS]))
            return self._form, self._terms.view()[: len(vectors)]

    def distances(self, queries: np.ndarray, vectors: RowArray, rows: np.ndarray) -> np.ndarray:
        """True distances of each query to its own `rows` `[q, m]`; inf where negative."""
        form, terms = self.prepared(vectors)
        return form.distances(queries, vectors, terms, rows)

    def search(
        self,
        queries: np.ndarray,
        vectors: RowArray,
        k: int,
        start: int = 0,
        mask: np.ndarray | None = None,
        ids: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest rows of each query.

        Args:
            queries: float32 `[q, dim]`.
            vectors: float32 `[n, dim]`: the same rows as in earlier calls, and
                perhaps more.
            k: How many; at most the number of rows searched.
            start: The first row to search.
            mask: bool `[n]`: rows to search, or None for all.
            ids: int64 `[n]`: what orders rows at equal distance; None for their
                position.

        Returns:
            rows: int64 `[q, k]`.
            distances: float32 `[q, k]`.
        """
        form, terms = self.prepared(vectors)
        rows: np.ndarray | None = None
        if mask is not None:
            rows = start + np.flatnonzero(mask[start:])
            # Either copy the wanted rows together, or compute scores that are not needed.
            many = len(queries) > 2 * vectors.shape[1]
            share = 4 if len(queries) == 1 else 2  # one is bound by memory, and copies cost most
            if many or share * len(rows) < len(vectors) - start:
                mask = None
            else:
                rows = None
        keys = Keys(form, vectors, terms, start, rows, mask, ids)
        step = min(_PANEL, max(1, MOST_CANDIDATES // (_CANDIDATES_EACH * max(k, 1))))
        panels = [
            self._panel(queries[first : first + step], keys, k)
            for first in range(0, max(len(queries), 1), step)
        ]
        if len(panels) == 1:
            return panels[0]
        return np.concatenate([p[0] for p in panels]), np.concatenate([p[1] for p in panels])

    def _panel(self, queries: np.ndarray, keys: Keys, k: int) -> tuple[np.ndarray, np.ndarray]:
        if not len(queries) or not k:
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        found = find_candidates(queries, keys, k)
        if found is None:
            half = len(queries) // 2
            parts = [self._panel(part, keys, k) for part in (queries[:half], queries[half:])]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        candidates, threshold = found
        owners, rows, upper = candidates.within(threshold)
        rows = keys.rows_at(rows)
        exact = None if keys.form.approximate else -upper
        return _rank(queries, keys, k, owners, rows, exact)


def _rank(
    queries: np.ndarray,
    keys: Keys,
    k: int,
    owners: np.ndarray,
    rows: np.ndarray,
    exact: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sorts the candidates of each query by true distance, then id; keeps k."""
    counts = np.bincount(owners, minlength=len(queries))
    starts = np.cumsum(counts) - counts
    found = np.empty((len(queries), k), np.int64)
    values = np.empty((len(queries), k), np.float32)
    # Queries with masses of ties are few or all; either way the others
    # should not be padded to their width.
    crowded = counts > 4 * k + 256
    usual = np.flatnonzero(~crowded)
    for some in ([usual] if len(usual) else []) + [
        np.array([query]) for query in np.flatnonzero(crowded)
    ]:
        width = int(counts[some].max())
        place = starts[some, None] + np.arange(width)
        padding = np.arange(width) >= counts[some, None]
        place[padding] = 0
        table = rows[place]
        if exact is None:
            table[padding] = -1
            distance = keys.distances(queries[some], table)
        else:
            distance = np.where(padding, np.float32(np.inf), exact[place])
        if keys.ids is None:  # the table is in the order of rows, padding last
            order = np.argsort(distance, axis=1, kind="stable")[:, :k]
        else:
            order = np.lexsort((keys.ids[table], padding, distance), axis=-1)[:, :k]
        found[some] = np.take_along_axis(table, order, axis=1)
        values[some] = np.take_along_axis(distance, order, axis=1)
    return found, values
