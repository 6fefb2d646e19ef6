"""Sums over the soft ranks of a query's positives, in the memory of a few rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from tensorflow_similarity.mining.rows import Rows

__all__ = ["sum_over_ranks", "with_slope"]


def with_slope(value: Any, slope: Any, distances: Any) -> Any:
    """`value`, with `slope` for its derivative.

    Args:
        value: `[rows]`, a constant.
        slope: `[rows, keys]`, a constant.
        distances: `[rows, keys]`, what is differentiated.
    """
    linear = ops.sum(ops.stop_gradient(slope) * distances, axis=1)
    return ops.stop_gradient(value) + (linear - ops.stop_gradient(linear))


def sum_over_ranks(
    rows: Rows, temperature: float, term: Callable[[Any, Any], tuple[Any, Any, Any]]
) -> Any:
    """`sum over p of term(rank(p), rank among the positives(p))` of each query.

    The soft rank of p is `1 + sum over k != p of sigmoid((d(a, p) - d(a, k)) / T)`,
    k being all other keys, or the other positives. There are as many comparisons
    as positives times keys: they are made for one positive at a time, and the
    derivative is summed beside the value, so nothing is kept for the gradient.

    Args:
        rows: Distances and pairs of some queries.
        temperature: T. The smaller, the nearer to the true rank.
        term: Maps both ranks, `[rows]` each, to a value and its two derivatives.

    Returns:
        `[rows]`; 0 where there is no positive.
    """
    distances = ops.stop_gradient(rows.distances)
    positives = rows.positives
    others = ops.logical_or(positives, rows.negatives)
    number = ops.cumsum(ops.cast(positives, "int32"), axis=1)
    most = ops.max(number)

    def step(this_number: Any, total: Any, slope: Any) -> tuple[Any, Any, Any]:
        this = ops.logical_and(positives, number == this_number)
        exists = ops.any(this, axis=1)
        near = ops.sum(ops.where(this, distances, 0), axis=1, keepdims=True)
        ahead = ops.sigmoid((near - distances) / temperature)
        ahead = ops.where(this, 0, ahead)
        rank = 1 + ops.sum(ops.where(others, ahead, 0), axis=1)
        rank_among = 1 + ops.sum(ops.where(positives, ahead, 0), axis=1)
        value, by_rank, by_rank_among = term(rank, rank_among)
        weight = ops.where(others, by_rank[:, None], 0)
        weight = weight + ops.where(positives, by_rank_among[:, None], 0)
        change = weight * ahead * (1 - ahead) / temperature
        change = ops.where(this, ops.sum(change, axis=1, keepdims=True), -change)
        total = total + ops.where(exists, value, 0)
        return this_number + 1, total, slope + ops.where(exists[:, None], change, 0)

    _, total, slope = ops.while_loop(
        lambda this_number, total, slope: this_number <= most,
        step,
        (ops.ones_like(most), ops.zeros_like(distances[:, 0]), ops.zeros_like(distances)),
    )
    return with_slope(total, slope, rows.distances)
