"""Exact search as a TensorFlow graph, for SavedModels.

TensorFlow throughout: what is made here is saved as a graph and runs where
this package is not.

Distances that a matrix product ranks (cosine, Euclidean, inner product) are
searched in two steps. The product gives every key a bound: no key is nearer
than its bound says. Those with the best bounds are compared by direct
difference, as `Index` does it: exactly 0 between equal embeddings, and true
where embeddings share an offset. If a key that was not compared could still
be among the nearest, which happens among masses of near ties, more of them are
compared until none could. Other distances are computed to all keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.rows import SMALLEST_ROW

__all__ = ["GraphSearch", "graph_search"]

# Numbers in one temporary: 128 MB.
_TEMPORARY = 1 << 25
# Compared beyond the k that are asked for, at first, and how that grows.
_SPARE = 64
_GROWTH = 8


def graph_search(distance: distances.Distance, keys: np.ndarray) -> GraphSearch:
    """The search for a distance over keys, float32 `[n, dim]`; the first of ties comes first."""
    product = distances.product_of(distance)
    if product is None:
        return _AnyDistance(distance, keys)
    return _SEARCHES[product.space](distance, keys)


class GraphSearch(tf.Module):
    """The k nearest of fixed keys, which are kept as a variable.

    Args:
        distance: The distance.
        keys: float32 `[n, dim]`.
    """

    def __init__(self, distance: distances.Distance, keys: np.ndarray) -> None:
        super().__init__()
        self._distance = distance
        self._rule = distances.product_of(distance)
        if self._rule is not None:
            keys = np.ascontiguousarray(self._rule.rows(keys, np), np.float32)
        self._count, self._dim = keys.shape
        # On either side of a comparison, relative to the sizes that go into a product. Errors
        # of float32 sums stay well below this: they have both signs.
        self._error = 4 * (4 + math.sqrt(self._dim)) * 2.0**-23
        self.keys = tf.Variable(self._stored(keys), trainable=False, name="keys")

    def __call__(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        """Positions int64 and distances float32 of the nearest keys, `[q, min(k, n)]` each."""
        k = tf.minimum(k, self._count)
        width = tf.maximum(self._count, (2 * k + _SPARE) * self._dim)
        step = tf.maximum(_TEMPORARY // width, 1)
        return _by_blocks(lambda part: self._nearest(part, k), queries, step, k)

    def _stored(self, keys: np.ndarray) -> np.ndarray:
        return keys

    def _nearest(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        raise NotImplementedError


class _AnyDistance(GraphSearch):
    """All distances, by the distance's own matrix."""

    def _nearest(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        matrix = tf.cast(self._distance(queries, self.keys), tf.float32)
        return _smallest(tf.debugging.check_numerics(matrix, "The distance is not finite."), k)


class _ProductSearch(GraphSearch):
    """Bounds by a matrix product, then direct differences."""

    def _prepared(self, queries: Tensor) -> Tensor:
        """The queries as the other methods take them."""
        return queries

    def _left(self, queries: Tensor) -> Tensor:
        """The queries as the product with the stored keys takes them."""
        return queries

    def _lower(self, queries: Tensor, score: Tensor) -> Tensor:
        """The least distance of a key whose product is at most `score`: `[q]`."""
        raise NotImplementedError

    def _compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        """True distances of queries `[q, 1, dim]` to stored keys `[q, m, …]`: `[q, m]`."""
        raise NotImplementedError

    def _nearest(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        rule: Any = self._rule
        own = tf.cast(rule.rows(queries, ops), tf.float32)
        positions, values = self._nearest_in_space(own, k)
        return positions, tf.cast(rule.values(values, own, ops), tf.float32)

    def _nearest_in_space(self, queries: Tensor, k: Any) -> tuple[Any, Any]:
        queries = self._prepared(queries)
        scores = tf.matmul(self._left(queries), self.keys, transpose_b=True)
        most = tf.minimum(2 * k + _SPARE, self._count)
        positions, values, sure = self._among(queries, scores, k, most)

        def settled(places: Any) -> tuple[Any, Any]:
            return self._settled(tf.gather(queries, places), tf.gather(scores, places), k, most)

        # Rare, and few: one at a time.
        unsure = tf.where(tf.logical_not(sure))
        found = _by_blocks(settled, unsure[:, 0], 1, k)
        return (
            tf.tensor_scatter_nd_update(positions, unsure, found[0]),
            tf.tensor_scatter_nd_update(values, unsure, found[1]),
        )

    def _settled(self, query: Tensor, scores: Tensor, k: Any, most: Tensor) -> tuple[Any, Any]:
        """One query, comparing more keys until no other can be among the nearest."""
        shape = tf.TensorShape([None, None])

        def more(most: Tensor, *_: Any) -> tuple[Any, ...]:
            most = tf.minimum(_GROWTH * most, self._count)
            return (most, *self._among(query, scores, k, most))

        _, positions, values, _ = tf.while_loop(
            lambda most, positions, values, sure: tf.logical_not(tf.reduce_all(sure)),
            more,
            more(most),
            shape_invariants=(tf.TensorShape([]), shape, shape, tf.TensorShape([None])),
        )
        return positions, values

    def _among(self, queries: Tensor, scores: Tensor, k: Any, most: Tensor) -> tuple[Any, Any, Any]:
        """The nearest among the `most` best scores, and whether they are so among all."""
        best = tf.math.top_k(scores, most)
        # In their own order, so that equal distances come out in it.
        candidates = tf.sort(best.indices, axis=1)
        values = self._compare(queries[:, None], tf.gather(self.keys, candidates))
        places, values = _smallest(values, k)
        positions = tf.cast(tf.gather(candidates, places, axis=1, batch_dims=1), tf.int64)
        beyond = self._lower(queries, best.values[:, -1])
        return positions, values, (values[:, -1] < beyond) | (most >= self._count)


class _Cosine(_ProductSearch):
    """Keys are stored at length 1, rows of zeros as zeros: at distance 1 from all."""

    def _stored(self, keys: np.ndarray) -> np.ndarray:
        norms = _norms(keys)
        zero = norms <= SMALLEST_ROW
        # Rounded as `Index` rounds it.
        return keys * np.where(zero, 0, 1 / np.where(zero, 1, norms)).astype(np.float32)[:, None]

    def _prepared(self, queries: Tensor) -> Tensor:
        norms = tf.norm(tf.cast(queries, tf.float64), axis=1, keepdims=True)
        scale = tf.where(norms > SMALLEST_ROW, tf.math.reciprocal_no_nan(norms), 0)
        return queries * tf.cast(scale, tf.float32)

    def _lower(self, queries: Tensor, score: Tensor) -> Tensor:
        return 1 - score - self._error

    def _compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        # |u - v|^2 / 2 = 1 - <u, v> for unit rows, without cancellation.
        values = tf.reduce_sum(tf.math.squared_difference(keys, queries), axis=-1) / 2
        zero = tf.reduce_all(tf.equal(keys, 0), axis=-1) | tf.reduce_all(
            tf.equal(queries, 0), axis=-1
        )
        return tf.where(zero, tf.ones_like(values), values)


class _InnerProduct(_ProductSearch):
    """Stored with each key: its length, with which the error of its product grows."""

    def _stored(self, keys: np.ndarray) -> np.ndarray:
        return _beside(keys, _norms(keys))

    def _left(self, queries: Tensor) -> Tensor:
        return tf.concat([queries, self._error * _lengths(queries)], axis=1)

    def _lower(self, queries: Tensor, score: Tensor) -> Tensor:
        return -score

    def _compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        return -tf.reduce_sum(queries * keys[..., : self._dim], axis=-1)


class _SquaredEuclidean(_ProductSearch):
    """Ranks by <q - c, x> - |x - c|^2 / 2, where c is the centre of the keys.

    Stored with each key x: the second term, and what errors grow with, so that
    the product itself adds them.
    """

    def _stored(self, keys: np.ndarray) -> np.ndarray:
        centre = keys.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._centre = tf.constant(centre)
        halves = _norms(keys - centre) ** 2 / 2
        return _beside(keys, (2 * self._error - 1) * halves, _norms(keys) + np.linalg.norm(centre))

    def _left(self, queries: Tensor) -> Tensor:
        moved = queries - self._centre
        return tf.concat([moved, tf.ones_like(moved[:, :1]), self._error * _lengths(moved)], axis=1)

    def _lower(self, queries: Tensor, score: Tensor) -> Tensor:
        moved = queries - self._centre
        squares = tf.reduce_sum(moved**2, axis=1) * (1 - self._error)
        return squares - 2 * (score - tf.linalg.matvec(moved, self._centre))

    def _compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        return tf.reduce_sum(tf.math.squared_difference(keys[..., : self._dim], queries), axis=-1)


class _Euclidean(_SquaredEuclidean):
    def _lower(self, queries: Tensor, score: Tensor) -> Tensor:
        # One more rounding: that of the root.
        return tf.sqrt(tf.nn.relu(super()._lower(queries, score))) * (1 - 2.0**-22)

    def _compare(self, queries: Tensor, keys: Tensor) -> Tensor:
        return tf.sqrt(super()._compare(queries, keys))


_SEARCHES: dict[str, type[GraphSearch]] = {
    "cosine": _Cosine,
    "euclidean": _Euclidean,
    "inner_product": _InnerProduct,
    "squared_euclidean": _SquaredEuclidean,
}


def _norms(rows: np.ndarray) -> np.ndarray:
    # In float64 no square of a float32 overflows or vanishes.
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))


def _beside(keys: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    return np.concatenate([keys, np.stack(columns, axis=1)], axis=1, dtype=np.float32)


def _lengths(rows: Tensor) -> Tensor:
    return tf.norm(rows, axis=1, keepdims=True)


def _smallest(values: Tensor, k: Any) -> tuple[Any, Any]:
    """Positions and values of the k smallest of each row; the first of equal ones first."""
    found = tf.math.top_k(-values, k)
    return tf.cast(found.indices, tf.int64), -found.values


def _by_blocks(
    function: Callable[[Any], tuple[Any, Any]], items: Any, step: Any, k: Any
) -> tuple[Any, Any]:
    """Positions and distances `[n, k]` of n items, of at most `step` at a time."""
    count = tf.shape(items)[0]
    shape = tf.TensorShape([None, None])

    def one(start: Any, *found: Any) -> tuple[Any, ...]:
        more = function(items[start : start + step])
        columns = zip(found, more, strict=True)
        return (start + step, *(tf.concat(both, axis=0) for both in columns))

    _, positions, values = tf.while_loop(
        lambda start, *_: start < count,
        one,
        (tf.constant(0), tf.zeros([0, k], tf.int64), tf.zeros([0, k], tf.float32)),
        shape_invariants=(tf.TensorShape([]), shape, shape),
    )
    return positions, values
