"""The semi-hard negative of every positive, where there are many positives.

A pass over the row for each positive is fast while there are few. With
hundreds, the negatives of a row are sorted once, and each positive finds its
own by bisection.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tensorflow_similarity.mining.rows import Rows
from tensorflow_similarity.mining.slots import Slots

__all__ = ["semi_hard_hinge"]

# Positives looked up together; the memory of a step is [rows, _CHUNK].
_CHUNK = 512


def _place_beyond(ordered: Any, values: Any) -> Any:
    """How many entries of each sorted row are at most the values: bisection, vectorised.

    Args:
        ordered: `[rows, keys]`, ascending in each row.
        values: `[rows, m]`.

    Returns:
        int32 `[rows, m]`, between 0 and `keys`.
    """
    keys = ordered.shape[1]
    steps = (keys if keys is not None else 2**31 - 1).bit_length()
    size = ops.shape(ordered)[1]
    low = ops.zeros_like(ops.cast(values, "int32"))
    high = low + size
    for _ in range(steps):
        middle = (low + high) // 2
        entry = ops.take_along_axis(ordered, ops.minimum(middle, size - 1), axis=1)
        right = ops.logical_and(entry <= values, low < high)
        low = ops.where(right, middle + 1, low)
        high = ops.where(right, high, middle)
    return low


def semi_hard_hinge(rows: Rows, slots: Slots, margin: float) -> tuple[Any, Any]:
    """`sum over p of max(0, margin + d(a, p) - d(a, n*(p)))`, and its derivative.

    n*(p) is the nearest negative strictly farther than p or, if there is none,
    the farthest negative. The sum is piecewise linear in the distances, so its
    derivative is a count: how often a distance is an active positive's, less
    how often it is the negative of one.

    Args:
        rows: Distances and pairs of some queries.
        slots: The positives of the same queries.
        margin: The margin.

    Returns:
        The sums `[queries]`, and the derivatives `[queries, keys]`, to be taken
        as constants.
    """
    distances, _, negatives, _ = rows
    queries, size = ops.shape(distances)[0], ops.shape(distances)[1]
    dtype = distances.dtype
    masked = ops.where(negatives, distances, float("inf"))
    order = ops.argsort(masked, axis=1)
    ordered = ops.take_along_axis(masked, order, axis=1)
    number = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True)
    most = ops.max(slots.count)
    row = ops.arange(queries, dtype="int32")[:, None] * size

    def step(begin: Any, total: Any, derivative: Any) -> tuple[Any, Any, Any]:
        positive, exists = slots.take(begin, _CHUNK)
        near = ops.take_along_axis(distances, positive, axis=1)
        place = ops.minimum(_place_beyond(ordered, near), number - 1)
        place = ops.maximum(place, 0)
        negative = ops.cast(ops.take_along_axis(order, place, axis=1), "int32")
        gap = margin + near - ops.take_along_axis(distances, negative, axis=1)
        active = ops.logical_and(ops.logical_and(exists, number > 0), gap > 0)
        counts = ops.cast(active, dtype)
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
