"""The hinge over all triplets of a query, without a triplet.

A sum over positives and negatives of `max(0, margin + d(a, p) - d(a, n))` is,
for each positive, a number of nearer negatives and the sum of their distances:
both stand in the cumulated sums of the sorted row. Where queries have few
positives, a pass over the row for each of them is faster than sorting it.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from tensorflow_similarity._blocks import MINING_ROWS, map_row_blocks
from tensorflow_similarity.mining.selection import at, nearest
from tensorflow_similarity.mining.sorting import places_beyond, sort_rows

__all__ = ["batch_all_hinge"]

# So many passes over a row take about as long as to sort it.
_FEW = 16


def batch_all_hinge(
    distances: Any, positives: Any, negatives: Any, margin: float
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
        lambda d, p, n: _hinge(d, p, n, margin),
        (distances, positives, negatives),
        (),
        MINING_ROWS,
        recompute=False,
    )


def _hinge(distances: Any, positives: Any, negatives: Any, margin: float) -> tuple[Any, Any, Any]:
    rows = distances, positives, negatives
    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))
    return ops.cond(most <= _FEW, lambda: _few(*rows, margin, most), lambda: _many(*rows, margin))


def _few(
    distances: Any, positives: Any, negatives: Any, margin: float, most: Any
) -> tuple[Any, Any, Any]:
    """By a pass for each positive, of which no query has more than `most`."""
    columns = ops.arange(ops.shape(distances)[1], dtype="int32")[None, :]

    def step(
        number: Any, left: Any, sums: Any, terms: Any, slope: Any
    ) -> tuple[Any, Any, Any, Any, Any]:
        place = ops.cast(nearest(distances, left), "int32")
        own = ops.logical_and(columns == place[:, None], left)
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


def _many(distances: Any, positives: Any, negatives: Any, margin: float) -> tuple[Any, Any, Any]:
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
