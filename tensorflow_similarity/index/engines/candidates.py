"""Finds the keys that may be among the k nearest of a query in an exact search.

Keys are taken in blocks. A block's scores (a matrix product) are reduced to the
maxima of groups of 32 keys; only groups that may hold one of the k nearest are
opened, and only keys that may be among them are kept, to be compared directly.
The matrix of all scores never exists, and no row is sorted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorflow_similarity.index._columns import RowArray
from tensorflow_similarity.index.engines.forms import MatrixForm, ProductForm
from tensorflow_similarity.index.engines.pipeline import one_ahead
from tensorflow_similarity.index.engines.products import Products, by_group

__all__ = [
    "BLOCK_QUERIES",
    "BLOCK_SCORES",
    "LOWEST",
    "MATRIX_SCORES",
    "MOST_CANDIDATES",
    "Candidates",
    "Keys",
    "find_candidates",
    "opened",
    "scored",
]

_GROUP = 32
# Blocks begin at such rows, where memory is aligned whatever the dimension.
_WIDTH_STEP = 64
# Below every score of finite embeddings.
LOWEST = np.float32(-3e38)
# Scores in one block: 16 MB. Larger temporaries are returned to the system and
# paged in anew each time.
BLOCK_SCORES = 1 << 22
BLOCK_QUERIES = 512
# Blocks from which on the next is multiplied while one is looked through.
_AHEAD_FROM = 2
# Numbers in one block of keys that are not stored as they are multiplied: 2 MB.
_COPIED_NUMBERS = 1 << 19
# Numbers in one block of a distance that is not a product.
MATRIX_SCORES = 1 << 20
# Candidates (20 bytes each) held at a time. Only masses of ties reach this.
MOST_CANDIDATES = 1 << 23


@dataclasses.dataclass(frozen=True)
class Keys:
    """The rows to search: a range, a selection, or a range under a mask."""

    form: Any
    vectors: RowArray
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
        """The rows at these places among those that are searched."""
        return places + self.start if self.rows is None else self.rows[places]

    def distances(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """True distances of each query to its own rows; inf where negative."""
        return self.form.distances(queries, self.vectors, self.terms, rows)


@dataclasses.dataclass
class Candidates:
    """Keys that may be among the k nearest: parallel flat arrays, one part a block."""

    queries: list[np.ndarray] = dataclasses.field(default_factory=list)
    keys: list[np.ndarray] = dataclasses.field(default_factory=list)
    upper: list[np.ndarray] = dataclasses.field(default_factory=list)
    count: int = 0

    def add(self, queries: np.ndarray, keys: np.ndarray, upper: np.ndarray) -> None:
        """Adds keys of queries, with an upper bound of their scores."""
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


def find_candidates(
    queries: np.ndarray, keys: Keys, k: int
) -> tuple[Candidates, np.ndarray] | None:
    """All keys that may be among the k nearest, and what their scores must reach, per query.

    None where there are too many to hold: there are masses of ties then, and
    fewer queries must be searched at a time.
    """
    if isinstance(keys.form, ProductForm):
        return _by_products(keys.form, queries, keys, k)
    return _by_matrix(keys.form, queries, keys, k)


def _by_products(
    form: ProductForm, queries: np.ndarray, keys: Keys, k: int
) -> tuple[Candidates, np.ndarray] | None:
    few = len(queries) < queries.shape[1]
    products = Products(form.left(queries), BLOCK_QUERIES)
    bests = [_Best(k) for _ in range(len(products))]
    candidates = Candidates()
    # Groups pay where a pass over all scores is worth avoiding.
    layers = 1 if len(queries) == 1 else int(np.clip(len(keys) // (4 * k), 1, _GROUP))
    width = BLOCK_SCORES // min(len(queries), BLOCK_QUERIES) // _WIDTH_STEP * _WIDTH_STEP
    blocks = scored(form, products, keys, width, layers, few)
    if len(queries) > 1 and len(keys) > _AHEAD_FROM * width:
        blocks = one_ahead(blocks)
    for start, part, scores, maxima, errors in blocks:
        owner, group, slack = bests[part].groups(maxima, errors)
        least = bests[part].threshold[owner] - slack
        at, column, value = opened(scores, layers, owner, group, least)
        first = products.slice(part).start
        candidates.add(first + owner[at], start + column, value + slack[at])
        if candidates.count > MOST_CANDIDATES and len(queries) > 1:
            return None
    return candidates, np.concatenate([_kth(best.scores, k) for best in bests])


def scored(
    form: ProductForm, products: Products, keys: Keys, width: int, layers: int, few: bool
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of keys with parts of queries: both places, scores, maxima, errors of these."""
    if not isinstance(keys.vectors, np.ndarray):  # copies are made, which caches should hold
        fit = _COPIED_NUMBERS // products.left.shape[1] // _WIDTH_STEP * _WIDTH_STEP
        width = min(width, max(fit, _WIDTH_STEP))
    for start in range(0, len(keys), width):
        vectors, terms, dead = keys.block(start, start + width)
        operands = form.operands(vectors, terms, few)
        if dead is not None:
            operands = operands.without(dead)
        a, b, c = form.errors(products.left, terms, few)
        b, c = by_group(b, layers), by_group(c, layers)
        for part, (scores, maxima) in enumerate(products.scores(operands, layers)):
            yield start, part, scores, maxima, _errors(a[products.slice(part)], b, c)


def _errors(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Bounds of the error of scores, for each query and group; `[q, 1]` where all are alike."""
    if b.max() <= 2 * b.min() and c.max() <= 2 * c.min():
        return (a * b.max() + c.max())[:, None]
    return a[:, None] * b + c


class _Best:
    """The best scores of each query so far, less their error: no more than there truly are.

    Args:
        k: How many are kept.
    """

    def __init__(self, k: int) -> None:
        self._k = k
        self.scores: np.ndarray | None = None
        #: What the k-th best truly reaches, per query.
        self.threshold = np.empty(0, np.float32)

    def groups(
        self, maxima: np.ndarray, errors: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Groups that may hold one of the k best, after having learnt of their maxima.

        Returns:
            For each: the query, the group, the error of its scores.
        """
        fresh = self.scores is None or self.scores.shape[1] < self._k
        if fresh:
            self._learn(maxima - errors)
        hits = np.flatnonzero(maxima >= self.threshold[:, None] - errors)
        owner, group = np.divmod(hits, maxima.shape[1])
        slack = errors.ravel()[hits] if errors.shape[1] > 1 else errors[owner, 0]
        if fresh or not len(hits):
            return owner, group, slack
        # Few are better than what is known by now: only they are looked at again.
        top = maxima.ravel()[hits]
        counts = np.bincount(owner, minlength=len(maxima))
        most = int(counts.max())
        if most < maxima.shape[1] // 2:
            table = np.full((len(maxima), most), -np.inf, np.float32)
            table[owner, np.arange(len(hits)) - (np.cumsum(counts) - counts)[owner]] = top - slack
            self._learn(table)
        else:
            self._learn(maxima - errors)
        kept = top >= self.threshold[owner] - slack
        return owner[kept], group[kept], slack[kept]

    def _learn(self, scores: np.ndarray) -> None:
        self.scores = _largest(self.scores, scores, self._k)
        # Scores of keys that do not count are -inf, and below any.
        self.threshold = np.maximum(_kth(self.scores, self._k), LOWEST)


def _by_matrix(
    form: MatrixForm, queries: np.ndarray, keys: Keys, k: int
) -> tuple[Candidates, np.ndarray] | None:
    best: dict[int, np.ndarray] = {}
    candidates = Candidates()
    step = min(len(queries), BLOCK_QUERIES)
    width = max(MATRIX_SCORES // step, 1)
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
        if candidates.count > MOST_CANDIDATES and len(queries) > 1:
            return None
    return candidates, np.concatenate([_kth(part, k) for part in best.values()])


def opened(
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
