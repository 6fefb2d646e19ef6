"""Exact search: every key is looked at, and the true nearest are returned.

Keys are taken in blocks. A block's scores (a matrix product) are reduced to the
maxima of groups of 32 keys; only groups that may hold one of the k nearest are
opened, and only keys that may be among them are compared directly. The matrix
of all scores never exists, and no row is sorted.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np

from tensorflow_similarity import checks, distances
from tensorflow_similarity.index.columns import Column
from tensorflow_similarity.index.engines.forms import MatrixForm, ProductForm, form_of
from tensorflow_similarity.index.engines.products import Products

__all__ = ["ExactScan", "exact_search"]

_GROUP = 32
# Blocks begin at such rows, where memory is aligned whatever the dimension.
_WIDTH_STEP = 64
# Below every score of finite embeddings.
_LOWEST = np.float32(-3e38)
# Scores in one block: 16 MB. Larger temporaries are returned to the system and
# paged in anew each time.
_BLOCK_SCORES = 1 << 22
_BLOCK_QUERIES = 512
# Numbers in one block of a distance that is not a product.
_MATRIX_SCORES = 1 << 20
# Queries whose running results are held at a time.
_PANEL = 8192
# Candidates (20 bytes each) held at a time. Only masses of ties reach this.
_MOST_CANDIDATES = 1 << 23
_FIT_ROWS = 10_000


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
    return ExactScan(distances.get(distance)).search(queries, keys, min(k, len(keys)))


@dataclasses.dataclass
class _Candidates:
    """Keys that may be among the k nearest: parallel flat arrays, one part a block."""

    queries: list[np.ndarray] = dataclasses.field(default_factory=list)
    keys: list[np.ndarray] = dataclasses.field(default_factory=list)
    upper: list[np.ndarray] = dataclasses.field(default_factory=list)
    count: int = 0

    def add(self, queries: np.ndarray, keys: np.ndarray, upper: np.ndarray) -> None:
        self.queries.append(queries)
        self.keys.append(keys)
        self.upper.append(upper)
        self.count += len(keys)

    def within(self, threshold: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Those that reach their query's final threshold, sorted by query."""
        queries, keys, upper = map(np.concatenate, (self.queries, self.keys, self.upper))
        kept = np.flatnonzero(upper >= threshold[queries])
        kept = kept[np.argsort(queries[kept], kind="stable")]
        return queries[kept], keys[kept], upper[kept]


class ExactScan:
    """Searches rows that only ever grow, and keeps what it knows of each row.

    Args:
        distance: The distance.
    """

    def __init__(self, distance: distances.Distance) -> None:
        self._form = form_of(distance)
        self._terms = Column.empty((), np.float32)
        self._lock = threading.Lock()

    def terms(self, vectors: np.ndarray) -> np.ndarray:
        """What the distance keeps of each row, extended to all of `vectors`."""
        with self._lock:
            known = len(self._terms)
            if known < len(vectors):
                if not known:
                    self._form.fit(vectors[:_FIT_ROWS])
                self._terms.append(self._form.terms(vectors[known:]))
            return self._terms.view()[: len(vectors)]

    def distances(self, queries: np.ndarray, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """True distances of each query to its own `rows` `[q, m]`; inf where negative."""
        if not isinstance(self._form, ProductForm):
            raise TypeError(f"{self._form.distance!r} is searched exactly only.")
        return self._form.distances(queries, vectors, self.terms(vectors), rows)

    def search(
        self,
        queries: np.ndarray,
        vectors: np.ndarray,
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
        terms = self.terms(vectors)
        rows: np.ndarray | None = None
        if mask is not None:
            rows = start + np.flatnonzero(mask[start:])
            # Copying the rows together, or computing scores in vain.
            many = len(queries) > 2 * vectors.shape[1]
            if many or 2 * len(rows) < len(vectors) - start:
                mask = None
            else:
                rows = None
        keys = _Keys(vectors, terms, start, rows, mask, ids)
        panels = [
            self._panel(queries[first : first + _PANEL], keys, k)
            for first in range(0, max(len(queries), 1), _PANEL)
        ]
        if len(panels) == 1:
            return panels[0]
        return np.concatenate([p[0] for p in panels]), np.concatenate([p[1] for p in panels])

    def _panel(self, queries: np.ndarray, keys: _Keys, k: int) -> tuple[np.ndarray, np.ndarray]:
        if not len(queries) or not k:
            return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        if isinstance(self._form, ProductForm):
            found = self._by_products(self._form, queries, keys, k)
        else:
            found = self._by_matrix(self._form, queries, keys, k)
        if found is None:
            half = len(queries) // 2
            parts = [self._panel(part, keys, k) for part in (queries[:half], queries[half:])]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        candidates, threshold = found
        owners, rows, upper = candidates.within(threshold)
        rows = keys.rows_at(rows)
        exact = None if self._form.approximate else -upper
        return self._rank(queries, keys, k, owners, rows, exact)

    def _by_products(
        self, form: ProductForm, queries: np.ndarray, keys: _Keys, k: int
    ) -> tuple[_Candidates, np.ndarray] | None:
        few = len(queries) < queries.shape[1]
        products = Products(form.left(queries), _BLOCK_QUERIES)
        best: list[np.ndarray | None] = [None] * len(products)
        candidates = _Candidates()
        width = _BLOCK_SCORES // min(len(queries), _BLOCK_QUERIES) // _WIDTH_STEP * _WIDTH_STEP
        layers = int(np.clip(len(keys) // (4 * k), 1, _GROUP))
        for start in range(0, len(keys), width):
            vectors, terms, dead = keys.block(start, start + width)
            operands = form.operands(vectors, terms, few)
            if dead is not None:
                operands = operands.without(dead)
            a, b, c = form.errors(products.left, terms, few)
            b, c = _by_group(b, layers), _by_group(c, layers)
            for part, (scores, maxima) in enumerate(products.scores(operands, layers)):
                own = products.slice(part)
                errors = a[own, None] * b + c
                best[part] = _largest(best[part], maxima - errors, k)
                # Scores of keys that do not count are -inf, and below any.
                threshold = np.maximum(_kth(best[part], k), _LOWEST)
                hits = np.flatnonzero(maxima + errors >= threshold[:, None])
                owner, group = np.divmod(hits, len(b))
                slack = errors.ravel()[hits]
                at, column, value = _opened(scores, layers, owner, group, threshold[owner] - slack)
                candidates.add(own.start + owner[at], start + column, value + slack[at])
            if candidates.count > _MOST_CANDIDATES and len(queries) > 1:
                return None
        return candidates, np.concatenate([_kth(part, k) for part in best])

    def _by_matrix(
        self, form: MatrixForm, queries: np.ndarray, keys: _Keys, k: int
    ) -> tuple[_Candidates, np.ndarray] | None:
        best: dict[int, np.ndarray] = {}
        candidates = _Candidates()
        step = min(len(queries), _BLOCK_QUERIES)
        width = max(_MATRIX_SCORES // step, 1)
        for start in range(0, len(keys), width):
            vectors, _, dead = keys.block(start, start + width)
            for first in range(0, len(queries), step):
                scores = form.scores(queries[first : first + step], vectors)
                if dead is not None:
                    scores[:, dead] = -np.inf
                best[first] = _largest(best.get(first), scores, k)
                inside = scores >= _kth(best[first], k)[:, None]
                if dead is not None:
                    inside[:, dead] = False
                owner, column = np.nonzero(inside)
                candidates.add(first + owner, start + column, scores[owner, column])
            if candidates.count > _MOST_CANDIDATES and len(queries) > 1:
                return None
        return candidates, np.concatenate([_kth(part, k) for part in best.values()])

    def _rank(
        self,
        queries: np.ndarray,
        keys: _Keys,
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
                distance = keys.distances(self._form, queries[some], table)
            else:
                distance = np.where(padding, np.float32(np.inf), exact[place])
            order = np.lexsort((keys.order(table), padding, distance), axis=-1)[:, :k]
            found[some] = np.take_along_axis(table, order, axis=1)
            values[some] = np.take_along_axis(distance, order, axis=1)
        return found, values


@dataclasses.dataclass(frozen=True)
class _Keys:
    """The rows to search: a range, a selection, or a range under a mask."""

    vectors: np.ndarray
    terms: np.ndarray
    start: int
    rows: np.ndarray | None
    mask: np.ndarray | None
    ids: np.ndarray | None

    def __len__(self) -> int:
        return len(self.vectors) - self.start if self.rows is None else len(self.rows)

    def block(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Vectors, terms, and the places of those that do not count."""
        if self.rows is not None:
            rows = self.rows[first:last]
            return self.vectors[rows], self.terms[rows], None
        own = slice(self.start + first, self.start + min(last, len(self)))
        dead = None if self.mask is None else np.flatnonzero(~self.mask[own])
        return self.vectors[own], self.terms[own], dead

    def rows_at(self, places: np.ndarray) -> np.ndarray:
        return places + self.start if self.rows is None else self.rows[places]

    def order(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.ids is None else self.ids[rows]

    def distances(self, form: Any, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return form.distances(queries, self.vectors, self.terms, rows)


def _opened(
    scores: np.ndarray, layers: int, owner: np.ndarray, group: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The members of some groups whose scores are large enough.

    Args:
        scores: `[q, n]`.
        layers: Keys in a group.
        owner: The query of each group to open, `[m]`.
        group: The group, `[m]`.
        least: The score that a member must have, `[m]`.

    Returns:
        For each member: which of the `m` it is in, its column, its score.
    """
    width = scores.shape[1]
    columns = (group * layers)[:, None] + np.arange(layers)
    values = scores.reshape(-1).take(columns + (owner * width)[:, None], mode="clip")
    if width % layers:
        values[columns >= width] = -np.inf  # beyond the last key
    inside = np.flatnonzero(values >= least[:, None])
    return inside // layers, columns.ravel()[inside], values.ravel()[inside]


def _by_group(values: np.ndarray, layers: int) -> np.ndarray:
    """The largest value of each group."""
    padded = np.full(-(-len(values) // layers) * layers, -np.inf, np.float32)
    padded[: len(values)] = values
    return padded.reshape(-1, layers).max(axis=1)


def _largest(best: np.ndarray | None, new: np.ndarray, k: int) -> np.ndarray:
    """The k largest of both in each row, in any order; fewer where there are fewer."""
    both = new if best is None else np.concatenate([best, new], axis=1)
    if both.shape[1] <= k:
        return both
    return np.partition(both, both.shape[1] - k, axis=1)[:, -k:]


def _kth(best: np.ndarray | None, k: int) -> np.ndarray:
    """The k-th largest value of each row, -inf where there are fewer."""
    if best is None or best.shape[1] < k:
        return np.full(0 if best is None else len(best), -np.inf, np.float32)
    return best.min(axis=1)
