"""Exact search for all keys within a distance of a query.

As in the search of the nearest, scores of a matrix product with a bound on their
error tell which keys may be near enough; only those are compared directly.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tensorflow_similarity.index._columns import RowArray
from tensorflow_similarity.index.engines.candidates import (
    BLOCK_QUERIES,
    BLOCK_SCORES,
    LOWEST,
    MATRIX_SCORES,
    Keys,
    opened,
    scored,
)
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.engines.forms import ProductForm
from tensorflow_similarity.index.engines.products import Products

__all__ = ["Found", "within"]

_GROUP = 16
# Pairs compared at a time.
_PAIRS = 1 << 16
# Limits are computed with as many digits as distances are.
_ROUNDING = 1e-5

#: Queries, rows and distances of pairs: int64, int64 and float32 `[m]`.
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def within(
    scan: ExactScan,
    queries: np.ndarray,
    vectors: RowArray,
    limit: float,
    start: int = 0,
    mask: np.ndarray | None = None,
) -> Iterator[Found]:
    """The rows within a distance of each query, in blocks of bounded size.

    Args:
        scan: Knows the distance, and the rows.
        queries: float32 `[q, dim]`.
        vectors: The rows.
        limit: The distance; rows at it are within.
        start: The first row to look at.
        mask: bool `[n]`: the rows to look at; None for all.

    Yields:
        Pairs, in no order.
    """
    form, terms = scan.prepared(vectors)
    rows = None
    if mask is not None:
        rows = start + np.flatnonzero(mask[start:])
        if 2 * len(rows) < len(vectors) - start:
            mask = None
        else:
            rows = None
    keys = Keys(form, vectors, terms, start, rows, mask, None)
    if not len(keys) or not len(queries):
        return
    if isinstance(form, ProductForm):
        yield from _by_products(form, queries, keys, limit)
    else:
        yield from _by_matrix(queries, keys, limit)


def _by_products(
    form: ProductForm, queries: np.ndarray, keys: Keys, limit: float
) -> Iterator[Found]:
    few = len(queries) < queries.shape[1]
    products = Products(form.left(queries), BLOCK_QUERIES)
    limits = np.full(len(queries), limit + _ROUNDING * abs(limit))
    least = np.maximum(form.least(queries, limits, few), LOWEST)
    layers = 1 if len(queries) == 1 else int(np.clip(len(keys) // 64, 1, _GROUP))
    width = max(BLOCK_SCORES // min(len(queries), BLOCK_QUERIES) // 64 * 64, 64)
    for at, part, scores, maxima, errors in scored(form, products, keys, width, layers, few):
        first = products.slice(part)
        hits = np.flatnonzero(maxima >= least[first, None] - errors)
        if not len(hits):
            continue
        owner, group = np.divmod(hits, maxima.shape[1])
        slack = errors.ravel()[hits] if errors.shape[1] > 1 else errors[owner, 0]
        needed = np.maximum(least[first][owner] - slack, LOWEST)
        place, column, _ = opened(scores, layers, owner, group, needed)
        owners, rows = first.start + owner[place], keys.rows_at(at + column)
        for begin in range(0, len(rows), _PAIRS):
            some = slice(begin, begin + _PAIRS)
            distances = keys.distances(queries[owners[some]], rows[some, None])[:, 0]
            kept = np.flatnonzero(distances <= limit)
            yield owners[some][kept], rows[some][kept], distances[kept]


def _by_matrix(queries: np.ndarray, keys: Keys, limit: float) -> Iterator[Found]:
    step = min(len(queries), BLOCK_QUERIES)
    width = max(MATRIX_SCORES // step, 1)
    for at in range(0, len(keys), width):
        vectors, _, dead = keys.block(at, at + width)
        for first in range(0, len(queries), step):
            distances = -keys.form.scores(queries[first : first + step], vectors)
            inside = distances <= limit
            if dead is not None:
                inside[:, dead] = False
            owner, column = np.nonzero(inside)
            yield first + owner, keys.rows_at(at + column), distances[owner, column]
