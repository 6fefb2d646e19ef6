"""The semi-hard negative of every positive, where there are many positives.

A pass over the row for each positive is fast while there are few. With
hundreds, the negatives of a row are sorted once, and each positive finds its
own by bisection.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tensorflow_similarity._blocks import MINING_ROWS, map_row_blocks
from tensorflow_similarity.mining.slots import Slots
from tensorflow_similarity.mining.sorting import places_beyond, sort_rows

__all__ = ["semi_hard_hinge"]

# Positives looked up together; the memory of a step is [rows, _CHUNK].
_CHUNK = 512


def semi_hard_hinge(distances: Any, negatives: Any, slots: Slots, margin: float) -> tuple[Any, Any]:
    """`sum over p of max(0, margin + d(a, p) - d(a, n*(p)))`, and its derivative.

    n*(p) is the nearest negative strictly farther than p or, if there is none,
    the farthest negative. The sum is piecewise linear in the distances, so its
    derivative is a count: how often a distance is an active positive's, less
    how often it is the negative of one.

    Args:
        distances: Float `[queries, keys]`. Nothing is differentiated.
        negatives: Bool `[queries, keys]`.
        slots: The positives of the same queries.
        margin: The margin.

    Returns:
        The sums `[queries]`, and the derivatives `[queries, keys]`, to be taken
        as constants.
    """
    order_is_shared = len(slots.order.shape) == 1
    rows = (distances, negatives, slots.first, slots.count, slots.own)

    def block(d: Any, negative: Any, first: Any, count: Any, own: Any, order: Any) -> Any:
        return _hinge(d, negative, Slots(order, first, count, own), margin)

    return map_row_blocks(
        block,
        rows if order_is_shared else (*rows, slots.order),
        (slots.order,) if order_is_shared else (),
        MINING_ROWS,
        recompute=False,
    )


def _hinge(distances: Any, negatives: Any, slots: Slots, margin: float) -> tuple[Any, Any]:
    queries, size = ops.shape(distances)[0], ops.shape(distances)[1]
    ordered, order = sort_rows(ops.where(negatives, distances, float("inf")))
    number = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True)
    most = ops.max(slots.count)
    row = ops.arange(queries, dtype="int32")[:, None] * size

    def step(begin: Any, total: Any, derivative: Any) -> tuple[Any, Any, Any]:
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
