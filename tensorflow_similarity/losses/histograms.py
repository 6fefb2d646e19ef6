"""Soft histograms of distances, differentiable in the distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from tensorflow_similarity.mining.sorting import on_tensorflow_cpu

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
    place = ops.clip(values * (bins / maximum), 0, bins)
    below = ops.minimum(ops.floor(ops.stop_gradient(place)), bins - 1)
    share = place - below
    below = ops.cast(below, "int32")
    kept = ops.cast(mask, place.dtype)

    @ops.custom_gradient
    def histogram(share: Any) -> Any:
        def grad(*arguments: Any, upstream: Any = None) -> Any:
            # A value that moves up takes from the node below and gives to the one above.
            (upstream,) = arguments if upstream is None else (upstream,)
            slope = upstream[:, 1:] - upstream[:, :-1]
            return ops.take_along_axis(slope, below, axis=1) * kept

        return _sums_at_nodes(below, share, kept, bins), grad

    return histogram(share)


def _sums_at_nodes(below: Any, share: Any, kept: Any, bins: int) -> Any:
    """The histogram, without its gradient: `[rows, bins + 1]`."""
    if on_tensorflow_cpu():  # Whose scatter takes ten times as long as NumPy's count.
        import tensorflow as tf

        sums = tf.numpy_function(
            lambda below, share, kept: _numpy_sums(below, share, kept, bins),
            [below, share, kept],
            share.dtype,
            stateful=False,
        )
        return tf.ensure_shape(sums, (below.shape[0], bins + 1))
    rows = ops.shape(below)[0]
    index = below + ops.arange(rows, dtype="int32")[:, None] * (bins + 1)
    index = ops.concatenate([index, index + 1], axis=1)
    weights = ops.concatenate([(1 - share) * kept, share * kept], axis=1)
    sums = ops.scatter(
        ops.reshape(index, (-1, 1)), ops.reshape(weights, (-1,)), (rows * (bins + 1),)
    )
    return ops.reshape(sums, (rows, bins + 1))


def _numpy_sums(below: np.ndarray, share: np.ndarray, kept: np.ndarray, bins: int) -> np.ndarray:
    rows = len(below)
    # NaN is at no node: it goes to the first, and makes it NaN.
    below = np.clip(below, 0, bins - 1)
    index = (below + np.arange(rows, dtype=np.int32)[:, None] * (bins + 1)).ravel()
    size = rows * (bins + 1)
    moved = share * kept
    up = np.bincount(index, moved.ravel(), size)
    every = np.bincount(index, kept.ravel(), size)
    sums = every - up
    # No value is below the last node but the last: nothing is moved across rows.
    sums[1:] += up[:-1]
    return sums.reshape(rows, bins + 1).astype(share.dtype)
