"""Sums over all triplets, or over all positives, of a query, in the memory of its row.

No triplet is formed. What these functions return beside the sums is their derivative in the
distances, to be taken as a constant: the sums are piecewise linear.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from tensorflow_similarity._blocks import MINING_ROWS, map_row_blocks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.mining import sorting
from tensorflow_similarity.mining.semi_hard_on_host import semi_hard_on_host
from tensorflow_similarity.mining.sorting import places_beyond, sort_rows
from tensorflow_similarity.mining.strategies import at, nearest

__all__ = ["Slots", "batch_all_hinge", "class_slots", "relevance_slots", "semi_hard_hinge"]


class Slots(NamedTuple):
    """Positive number r of query i is `order[..., first[i] + r]`, itself left out.

    Attributes:
        order: Keys so ordered that a query's positives stand side by side:
            `[keys]` for all queries, or `[queries, keys]`.
        first: int32 `[queries]`, where they begin in `order`.
        count: int32 `[queries]`, how many there are, the query itself not counted.
        own: int32 `[queries]`, the query's own position in `order`, beyond all
            others where it is not among its positives.
    """

    order: Tensor
    first: Tensor
    count: Any
    own: Tensor

    def take(self, begin: Tensor | int, width: int) -> tuple[Any, Any]:
        """Positives number `begin` to `begin + width - 1`.

        Returns:
            Their keys, int32 `[queries, width]`, and which of these exist, bool.
        """
        number = begin + ops.arange(width)[None, :]
        exists = number < self.count[:, None]
        place = self.first[:, None] + number
        place = place + ops.cast(place >= self.own[:, None], "int32")
        keys = ops.shape(self.order)[-1]
        place = ops.where(exists, place, ops.zeros_like(place))
        place = ops.minimum(place, keys - 1)
        if len(self.order.shape) == 1:
            return ops.take(self.order, place), exists
        return ops.take_along_axis(self.order, place, axis=1), exists


def class_slots(
    query_labels: Tensor,
    key_labels: Tensor,
    query_positions: Tensor,
    key_known: Tensor | None = None,
) -> Slots:
    """Slots by class ids: one sort of the keys, and no matrix.

    Args:
        query_labels: int64 `[queries]`.
        key_labels: int64 `[keys]`.
        query_positions: int32 `[queries]`, see `pairs_by_class`.
        key_known: Bool `[keys]`, the keys whose class is known; None for all. The others are
            nobody's positives.
    """
    if key_known is not None:
        query_labels, key_labels = _numbered(query_labels, key_labels, key_known)
    order = ops.cast(ops.argsort(key_labels), "int32")
    labels = ops.take(key_labels, order)
    first = ops.cast(ops.searchsorted(labels, query_labels, side="left"), "int32")
    end = ops.cast(ops.searchsorted(labels, query_labels, side="right"), "int32")
    is_key = query_positions >= 0
    place_of_key = ops.cast(ops.argsort(order), "int32")
    own = ops.take(place_of_key, ops.maximum(query_positions, 0))
    beyond = ops.zeros_like(own) + ops.shape(key_labels)[0]
    own = ops.where(is_key, own, beyond)
    return Slots(order, first, end - first - ops.cast(is_key, "int32"), own)


def _numbered(query_labels: Tensor, key_labels: Tensor, key_known: Tensor) -> tuple[Any, Any]:
    """Class ids as numbers from 0 on, with one of its own for keys of unknown class."""
    ordered = ops.sort(key_labels)
    keys = ops.shape(key_labels)[0]

    def number(labels: Tensor) -> Tensor:
        rank = ops.cast(ops.searchsorted(ordered, labels), "int32")
        found = ops.equal(ops.take(ordered, ops.minimum(rank, keys - 1)), labels)
        return ops.where(found, rank, keys + 1)

    return number(query_labels), ops.where(key_known, number(key_labels), keys)


def relevance_slots(positives: Tensor) -> Slots:
    """Slots by a mask of positives, bool `[queries, keys]`, in which no query meets itself."""
    order = ops.cast(ops.argsort(ops.logical_not(positives), axis=1), "int32")
    count = ops.sum(ops.cast(positives, "int32"), axis=1)
    zeros = ops.zeros_like(count)
    return Slots(order, zeros, count, zeros + ops.shape(positives)[1])


# So many passes over a row take about as long as to sort it.
_FEW = 16


def batch_all_hinge(
    distances: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> tuple[Any, Any, Any]:
    """`sum over p and n of max(0, margin + d(a, p) - d(a, n))`, and its derivative.

    Args:
        distances: Float `[queries, keys]`. Nothing is differentiated.
        positives: Bool `[queries, keys]`.
        negatives: Bool `[queries, keys]`.
        margin: The margin.

    Returns:
        The sums `[queries]`, the numbers of terms above 0 `[queries]`, and the
        derivatives `[queries, keys]`, to be taken as constants.
    """
    return map_row_blocks(
        lambda d, p, n: _batch_all_rows(d, p, n, margin),
        (distances, positives, negatives),
        (),
        MINING_ROWS,
        recompute=False,
    )


def _batch_all_rows(
    distances: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> tuple[Any, Any, Any]:
    rows = distances, positives, negatives
    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))
    return ops.cond(most <= _FEW, lambda: _few(*rows, margin, most), lambda: _many(*rows, margin))


def _few(
    distances: Tensor, positives: Tensor, negatives: Tensor, margin: float, most: Tensor
) -> tuple[Any, Any, Any]:
    """By a pass for each positive, of which no query has more than `most`."""
    columns = ops.arange(ops.shape(distances)[1], dtype="int32")[None, :]

    def step(
        number: Tensor, left: Tensor, sums: Tensor, terms: Tensor, slope: Tensor
    ) -> tuple[Any, Any, Any, Any, Any]:
        place = ops.cast(nearest(distances, left), "int32")
        own = ops.logical_and(ops.equal(columns, place[:, None]), left)
        gaps = at(distances, place)[:, None] + margin - distances
        active = ops.logical_and(ops.logical_and(negatives, gaps > 0), at(left, place)[:, None])
        ones = ops.cast(active, distances.dtype)
        active_terms = ops.sum(ones, axis=1)
        return (
            number + 1,
            ops.logical_and(left, ops.logical_not(own)),
            sums + ops.sum(gaps * ones, axis=1),
            terms + active_terms,
            slope + ops.where(own, active_terms[:, None], -ones),
        )

    nothing = ops.zeros_like(distances[:, 0])
    begin = (ops.zeros_like(most), positives, nothing, nothing, ops.zeros_like(distances))
    _, _, sums, terms, slope = ops.while_loop(lambda number, *_: number < most, step, begin)
    return sums, terms, slope


def _many(
    distances: Tensor, positives: Tensor, negatives: Tensor, margin: float
) -> tuple[Any, Any, Any]:
    dtype = distances.dtype
    # Negatives from the farthest to the nearest: those that are far enough for
    # a positive come first, also where distances are equal.
    ordered, _ = sort_rows(ops.where(negatives, -distances, float("inf")))
    number = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True)
    exists = ordered < float("inf")
    cumulated = ops.cumsum(ops.where(exists, -ordered, 0), axis=1)
    cumulated = ops.concatenate([ops.zeros_like(cumulated[:, :1]), cumulated], axis=1)
    far_enough = ops.minimum(places_beyond(ordered, -(distances + margin)), number)
    far_sum = ops.take_along_axis(cumulated, far_enough, axis=1)
    near = ops.cast(number - far_enough, dtype)
    sums = near * (distances + margin) - (cumulated[:, -1:] - far_sum)
    # Rounding in the cumulated sums must not turn a sum of hinges negative.
    sums = ops.sum(ops.where(positives, ops.relu(sums), 0), axis=1)
    pulls = ops.where(positives, near, 0)

    ordered, _ = sort_rows(ops.where(positives, distances, float("inf")))
    near_enough = places_beyond(ordered, distances - margin)
    number = ops.sum(ops.cast(positives, "int32"), axis=1, keepdims=True)
    pushes = ops.where(negatives, ops.cast(number - near_enough, dtype), 0)
    return sums, ops.sum(pulls, axis=1), pulls - pushes


# Positives looked up together; the memory of a step is [rows, _CHUNK].
_CHUNK = 512


def semi_hard_hinge(
    distances: Tensor, positives: Tensor, negatives: Tensor, slots: Slots, margin: float
) -> tuple[Any, Any]:
    """`sum over p of max(0, margin + d(a, p) - d(a, n*(p)))`, and its derivative.

    n*(p) is the nearest negative strictly farther than p or, if there is none,
    the farthest negative. The sum is piecewise linear in the distances, so its
    derivative is a count: how often a distance is an active positive's, less
    how often it is the negative of one.

    Args:
        distances: Float `[queries, keys]`. Nothing is differentiated.
        positives: Bool `[queries, keys]`.
        negatives: Bool `[queries, keys]`.
        slots: The positives once more, by number.
        margin: The margin.

    Returns:
        The sums `[queries]`, and the derivatives `[queries, keys]`, to be taken
        as constants.
    """
    if sorting.on_tensorflow_cpu():
        import tensorflow as tf

        value, derivative = tf.numpy_function(
            semi_hard_on_host,
            [distances, positives, negatives, ops.convert_to_tensor(margin, distances.dtype)],
            (distances.dtype, distances.dtype),
            stateful=False,
        )
        shape = distances.shape
        return tf.ensure_shape(value, shape[:1]), tf.ensure_shape(derivative, shape)
    order_is_shared = len(slots.order.shape) == 1
    rows = (distances, negatives, slots.first, slots.count, slots.own)

    def block(
        d: Tensor, negative: Tensor, first: Tensor, count: Tensor, own: Tensor, order: Tensor
    ) -> tuple[Any, Any]:
        return _semi_hard_rows(d, negative, Slots(order, first, count, own), margin)

    return map_row_blocks(
        block,
        rows if order_is_shared else (*rows, slots.order),
        (slots.order,) if order_is_shared else (),
        MINING_ROWS,
        recompute=False,
    )


def _semi_hard_rows(
    distances: Tensor, negatives: Tensor, slots: Slots, margin: float
) -> tuple[Any, Any]:
    queries, size = ops.shape(distances)[0], ops.shape(distances)[1]
    ordered, order = sort_rows(ops.where(negatives, distances, float("inf")))
    number = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True)
    most = ops.max(slots.count)
    row = ops.arange(queries, dtype="int32")[:, None] * size

    def step(begin: Tensor, total: Tensor, derivative: Tensor) -> tuple[Any, Any, Any]:
        positive, exists = slots.take(begin, _CHUNK)
        near = ops.take_along_axis(distances, positive, axis=1)
        place = ops.clip(places_beyond(ordered, near), 0, ops.maximum(number - 1, 0))
        far = ops.take_along_axis(ordered, place, axis=1)
        negative = ops.take_along_axis(order, place, axis=1)
        # A query without a negative has infinity here, and a gap below 0.
        gap = margin + near - far
        active = ops.logical_and(exists, gap > 0)
        counts = ops.cast(active, distances.dtype)
        places = ops.concatenate([row + positive, row + negative], axis=1)
        signs = ops.concatenate([counts, -counts], axis=1)
        change = ops.scatter(
            ops.reshape(places, (-1, 1)), ops.reshape(signs, (-1,)), (queries * size,)
        )
        total = total + ops.sum(ops.where(active, gap, 0), axis=1)
        return begin + _CHUNK, total, derivative + ops.reshape(change, (queries, size))

    _, total, derivative = ops.while_loop(
        lambda begin, total, derivative: begin < most,
        step,
        (ops.zeros_like(most), ops.zeros_like(distances[:, 0]), ops.zeros_like(distances)),
    )
    return total, derivative
