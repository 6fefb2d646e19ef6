"""Row statistics over masked entries, finite in value and gradient."""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["EMPTY", "masked_logsumexp", "masked_mean", "masked_sum", "mean_over_pairs"]

#: The logarithm of an empty sum: below everything, and still safe to add to.
EMPTY = -1e30


def masked_sum(values: Any, mask: Any) -> Any:
    """Sum over the entries of each row where `mask`; 0 where there are none."""
    return ops.sum(ops.where(mask, values, 0), axis=1)


def masked_mean(values: Any, mask: Any) -> Any:
    """Mean over the entries of each row where `mask`; 0 where there are none."""
    number = ops.sum(ops.cast(mask, values.dtype), axis=1)
    return masked_sum(values, mask) / ops.maximum(number, 1)


def masked_logsumexp(values: Any, mask: Any) -> Any:
    """`log(sum(exp(values)))` over the entries of each row where `mask`.

    Rows without an entry are `EMPTY`, with gradient 0.
    """
    masked = ops.where(mask, values, EMPTY)
    top = ops.stop_gradient(ops.max(masked, axis=1, keepdims=True))
    total = masked_sum(ops.exp(masked - top), mask)
    some = total > 0
    return ops.where(some, ops.log(ops.where(some, total, 1)) + top[:, 0], EMPTY)


def mean_over_pairs(sums: Any, pairs: Any) -> Any:
    """Scales sums over each query's pairs, so that their mean is the mean over all pairs.

    Args:
        sums: Float `[queries]`.
        pairs: The number of pairs of each query, `[queries]`.
    """
    pairs = ops.cast(pairs, sums.dtype)
    queries = ops.sum(ops.ones_like(pairs))
    return sums * (queries / ops.maximum(ops.sum(pairs), 1))
