"""Soft histograms of distances, differentiable in the distances."""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["soft_histogram"]


def soft_histogram(values: Any, mask: Any, bins: int, maximum: float) -> Any:
    """Histogram of each row, each value shared between the two nodes around it.

    The nodes stand at `0, maximum / bins, ..., maximum`. Values beyond the ends,
    where only rounding puts them, count as the ends.

    Args:
        values: Float `[rows, keys]`.
        mask: Bool `[rows, keys]`, the values that are counted.
        bins: The number of intervals.
        maximum: The last node.

    Returns:
        `[rows, bins + 1]`; a row's entries add up to its number of values.
    """
    rows = ops.shape(values)[0]
    place = ops.clip(values * (bins / maximum), 0, bins)
    below = ops.minimum(ops.floor(ops.stop_gradient(place)), bins - 1)
    share = place - below
    below = ops.cast(below, "int32") + ops.arange(rows, dtype="int32")[:, None] * (bins + 1)
    index = ops.concatenate([below, below + 1], axis=1)
    weights = ops.concatenate([ops.where(mask, 1 - share, 0), ops.where(mask, share, 0)], axis=1)
    counts = ops.scatter(
        ops.reshape(index, (-1, 1)), ops.reshape(weights, (-1,)), (rows * (bins + 1),)
    )
    return ops.reshape(counts, (rows, bins + 1))
