"""Row statistics over masked entries, finite in value and gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.gradients import with_gradient

__all__ = [
    "EMPTY",
    "any_pair",
    "cross_entropy",
    "entries",
    "log_add_exp",
    "log_one_plus_sum_exp",
    "masked_logsumexp",
    "masked_mean",
    "masked_sum",
    "mean_over_pairs",
    "number_of",
    "with_entries",
    "with_slope",
]

#: The logarithm of an empty sum: below everything, and still safe to add to.
EMPTY = -1e30


def number_of(mask: Tensor, dtype: Any) -> Tensor:
    """The number of entries of each row where `mask`, as a float."""
    return ops.sum(ops.cast(mask, dtype), axis=1)


def any_pair(mask: Tensor) -> Tensor:
    """Which rows have an entry where `mask`, bool `[rows]`."""
    return ops.any(mask, axis=1)


def masked_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Sum over the entries of each row where `mask`; 0 where there are none."""
    return ops.sum(ops.where(mask, values, 0), axis=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the entries of each row where `mask`; 0 where there are none."""
    return masked_sum(values, mask) / ops.maximum(number_of(mask, values.dtype), 1)


def masked_logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """`log(sum(exp(values)))` over the entries of each row where `mask`.

    Rows without an entry are `EMPTY`, with gradient 0.
    """

    def function(values: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        masked = ops.where(mask, values, EMPTY)
        top = ops.stop_gradient(ops.max(masked, axis=1, keepdims=True))
        # Where nothing is masked in, every entry is `EMPTY` and the sum is that of ones.
        powers = ops.exp(masked - top)
        none = top[:, 0] <= EMPTY
        total = ops.where(none, 1, ops.sum(powers, axis=1))

        def gradient(upstream: Tensor) -> Tensor:
            # What is masked out has no power, and so no gradient.
            return powers * ops.where(none, 0, upstream / total)[:, None]

        return ops.where(none, EMPTY, ops.log(total) + top[:, 0]), gradient

    return with_gradient(function, values)


def log_add_exp(a: Tensor, b: Tensor) -> Tensor:
    """`log(exp(a) + exp(b))`, with half of the gradient each where they are equal.

    Keras' `logaddexp` takes a maximum there, whose gradient goes to one of them alone.
    """
    top = ops.stop_gradient(ops.maximum(a, b))
    return ops.log(ops.exp(a - top) + ops.exp(b - top)) + top


def log_one_plus_sum_exp(values: Tensor, mask: Tensor) -> Tensor:
    """`log(1 + sum(exp(values)))` over the entries of each row where `mask`; 0 without any."""
    return ops.softplus(masked_logsumexp(values, mask))


def cross_entropy(similarities: Tensor, weights: Tensor, candidates: Tensor | None) -> Tensor:
    """`-sum_j w_j / sum(w) * log softmax(s)_j` of each row, over the candidates.

    Args:
        similarities: `[rows, keys]`.
        weights: `[rows, keys]`, at least 0, and 0 where no candidate. Bool: all that are True
            weigh the same.
        candidates: Bool `[rows, keys]`, the entries of the softmax; None for all.

    Returns:
        `[rows]`; 0 where all weights are 0.
    """
    if candidates is None:
        normaliser = ops.logsumexp(similarities, axis=1)
    else:
        normaliser = masked_logsumexp(similarities, candidates)
    if keras.backend.standardize_dtype(weights.dtype) == "bool":
        total = number_of(weights, similarities.dtype)
        weighted = masked_sum(similarities, weights)
    else:
        total = ops.sum(weights, axis=1)
        weighted = masked_sum(similarities * weights, weights > 0)
    some = total > 0
    mean = weighted / ops.where(some, total, 1)
    return ops.where(some, normaliser - mean, 0)


def mean_over_pairs(sums: Tensor, pairs: Any, counted: Tensor | None = None) -> Tensor:
    """Scales sums over each query's pairs, so that their mean is the mean over all pairs.

    Args:
        sums: Float `[queries]`.
        pairs: The number of pairs of each query, `[queries]`.
        counted: Bool `[queries]`, which queries the mean is over; None for all.
    """
    pairs = ops.cast(pairs, sums.dtype)
    ones = ops.ones_like(pairs)
    queries = ops.sum(ones if counted is None else ops.cast(counted, sums.dtype))
    return sums * (queries / ops.maximum(ops.sum(pairs), 1))


def entries(table: Tensor, columns: Tensor) -> Tensor:
    """The entry of each row in a column of its own.

    Args:
        table: Float `[rows, columns]`.
        columns: int32 `[rows]`, from 0.

    Returns:
        `[rows]`.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":  # Keras' `take_along_axis` takes a dozen steps more.
        import tensorflow as tf

        return tf.gather_nd(table, _places(columns))
    if backend == "torch":
        return ops.take_along_axis(table, columns[:, None], axis=1)[:, 0]
    return masked_sum(table, _own_column(table, columns))


def with_entries(table: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """The table, with a value in place of one entry of each row.

    Args:
        table: Float `[rows, columns]`.
        columns: int32 `[rows]`, from 0.
        values: Float `[rows]`.
    """
    if keras.backend.backend() == "jax":  # XLA makes no pass of its own of it.
        return ops.where(_own_column(table, columns), values[:, None], table)
    return ops.scatter_update(table, _places(columns), values)


def _own_column(table: Tensor, columns: Tensor) -> Any:
    return ops.equal(columns[:, None], ops.arange(ops.shape(table)[1], dtype="int32")[None, :])


def _places(columns: Tensor) -> Any:
    rows = ops.arange(ops.shape(columns)[0], dtype="int32")
    return ops.stack([rows, columns], axis=1)


def with_slope(value: Any, slope: Any, distances: Tensor) -> Tensor:
    """`value`, with `slope` for its derivative.

    Args:
        value: `[rows]`, a constant.
        slope: `[rows, keys]`, a constant.
        distances: `[rows, keys]`, what is differentiated.
    """
    linear = ops.sum(ops.stop_gradient(slope) * distances, axis=1)
    return ops.stop_gradient(value) + (linear - ops.stop_gradient(linear))
