"""Row statistics over masked entries, finite in value and gradient."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.gradients import WithGradient, chosen, with_gradient

__all__ = [
    "EMPTY",
    "any_pair",
    "cross_entropy",
    "entries",
    "log_add_exp",
    "log_one_plus_sum_exp",
    "log_shares",
    "masked_logsumexp",
    "masked_mean",
    "masked_sum",
    "mean_over_pairs",
    "number_of",
    "pull_and_push",
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

    def function(values: Tensor, mask: Tensor) -> WithGradient:
        def gradient(mask: Tensor, upstream: Tensor) -> Tensor:
            return chosen(upstream[:, None], mask)

        return ops.sum(chosen(values, mask), axis=1), (mask,), gradient

    return with_gradient(function, values, mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the entries of each row where `mask`; 0 where there are none."""
    return masked_sum(values, mask) / ops.maximum(number_of(mask, values.dtype), 1)


def pull_and_push(
    distances: Tensor,
    pulled: Tensor,
    pushed: Tensor,
    low: Any,
    high: Any,
    power: int = 1,
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """What pairs cost that should be below a limit, and others that should be above one.

    `sum over the entries where pulled of max(0, d - low)^power`, and
    `sum over the entries where pushed of max(0, high - d)^power`. It is one step to the gradient,
    which takes half of the passes over the entries that those of its steps take.

    Args:
        distances: Float `[rows, keys]`.
        pulled: Bool `[rows, keys]`, the entries of the first sum.
        pushed: Bool `[rows, keys]`, the entries of the second sum, none of them in the first.
        low: Number, or float `[]` or `[rows, 1]`. None: the first sum is of `d^power`.
        high: Number, or float `[]` or `[rows, 1]`.
        power: 1 or 2.

    Returns:
        For each sum, it and the number of its terms, `[rows]` each: those above 0, but all without
        a limit.
    """

    def function(distances: Tensor, *limits_and_masks: Tensor) -> WithGradient:
        high, *low, pulled, pushed = limits_and_masks
        # Distances that are not pulled may be large, so their square is not computed.
        far = chosen(ops.relu(distances - low[0]) if low else distances, pulled)
        near = chosen(ops.relu(high - distances), pushed)
        costs = (far, near) if power == 1 else (ops.square(far), ops.square(near))
        sums = tuple(ops.sum(cost, axis=1) for cost in costs)
        sides = (far > 0 if low else pulled), near > 0
        counts = tuple(ops.stop_gradient(number_of(side, distances.dtype)) for side in sides)
        limits = (high, *low)
        if power == 1:
            return (*sums, *counts), (*sides, *counts, *limits), of_firsts
        return (*sums, *counts), (far, near, *limits), of_squares

    def of_firsts(
        far: Tensor, near: Tensor, fars: Tensor, nears: Tensor, *limits_and_upstream: Tensor
    ) -> Any:
        *limits, pull, push, _, _ = limits_and_upstream
        if keras.backend.backend() == "torch":
            slope = chosen(pull[:, None], far) - chosen(push[:, None], near)
        else:
            slope = ops.where(far, pull[:, None], ops.where(near, -push[:, None], 0))
        return slope, *_of_limits(limits, pull * fars, push * nears)

    def of_squares(far: Tensor, near: Tensor, *limits_and_upstream: Tensor) -> Any:
        *limits, pull, push, _, _ = limits_and_upstream
        pull, push = 2 * pull, 2 * push
        slope = far * pull[:, None] - near * push[:, None]
        rows = pull * ops.sum(far, axis=1), push * ops.sum(near, axis=1)
        return slope, *_of_limits(limits, *rows)

    given = (limit for limit in (high, low) if limit is not None)
    limits = (ops.convert_to_tensor(limit, distances.dtype) for limit in given)
    far, near, fars, nears = with_gradient(function, distances, *limits, pulled, pushed)
    return (far, ops.stop_gradient(fars)), (near, ops.stop_gradient(nears))


def _of_limits(limits: Any, pulls: Tensor, pushes: Tensor) -> list[Tensor]:
    """The gradients of `high` and `low`, from those of all their terms in each row."""
    return [
        rows[:, None] if len(limit.shape) else ops.sum(rows)
        for limit, rows in zip(limits, (pushes, -pulls), strict=False)
    ]


def log_shares(values: Tensor) -> tuple[Any, Any, Any]:
    """The softmax of each row, and the logarithm of its sum, which is the largest entry and more.

    Returns:
        The largest entries `[rows]`; the logarithms of `sum(exp(values - largest))`, `[rows]`; and
        the share of each entry in the sum, `[rows, columns]`.
    """
    top = ops.max(values, axis=1)
    # Keras warns of a softmax of single entries.
    if keras.backend.backend() == "jax" or values.shape[1] == 1:
        top = ops.stop_gradient(top)
        powers = ops.exp(values - top[:, None])
        total = ops.sum(powers, axis=1)
        return top, ops.log(total), powers / total[:, None]
    # One step of theirs takes less time than the powers alone. The largest share is 1 / sum.
    shares = ops.softmax(values, axis=-1)
    return top, -ops.log(ops.max(shares, axis=1)), shares


def masked_logsumexp(values: Tensor, mask: Tensor | None, scale: float = 1.0) -> Tensor:
    """`log(sum(exp(scale * values)))` over the entries of each row where `mask`; None: over all.

    Rows without an entry are `EMPTY`, with gradient 0.
    """

    def function(values: Tensor, *mask: Tensor) -> WithGradient:
        scaled = values if scale == 1 else scale * values
        top, rest, shares = log_shares(chosen(scaled, mask[0], EMPTY) if mask else scaled)
        # Where nothing is masked in, every entry is `EMPTY`.
        none = top <= EMPTY

        def gradient(shares: Tensor, none: Tensor, upstream: Tensor) -> Tensor:
            # What is masked out has no share, and so no gradient.
            return shares * ops.where(none, 0, scale * upstream)[:, None]

        return ops.where(none, EMPTY, rest + top), (shares, none), gradient

    return with_gradient(function, values, *(() if mask is None else (mask,)))


def log_add_exp(a: Tensor, b: Tensor) -> Tensor:
    """`log(exp(a) + exp(b))`, with half of the gradient each where they are equal.

    Keras' `logaddexp` takes a maximum there, whose gradient goes to one of them alone.
    """
    top = ops.stop_gradient(ops.maximum(a, b))
    return ops.log(ops.exp(a - top) + ops.exp(b - top)) + top


def log_one_plus_sum_exp(values: Tensor, mask: Tensor, scale: float = 1.0) -> Tensor:
    """`log(1 + sum(exp(scale * values)))` over the entries of each row where `mask`, or 0."""
    return ops.softplus(masked_logsumexp(values, mask, scale))


def cross_entropy(
    similarities: Tensor, weights: Tensor, candidates: Tensor | None, scale: float = 1.0
) -> Tensor:
    """`-sum_j w_j / sum(w) * log softmax(scale * s)_j` of each row, over the candidates.

    Args:
        similarities: `[rows, keys]`.
        weights: `[rows, keys]`, at least 0, and 0 where no candidate. Bool: all that are True
            weigh the same.
        candidates: Bool `[rows, keys]`, the entries of the softmax; None for all.
        scale: Factor of the similarities.

    Returns:
        `[rows]`; 0 where all weights are 0.
    """
    normaliser = masked_logsumexp(similarities, candidates, scale)
    if keras.backend.standardize_dtype(weights.dtype) == "bool":
        total = number_of(weights, similarities.dtype)
        weighted = masked_sum(similarities, weights)
    else:
        total = ops.sum(weights, axis=1)
        weighted = masked_sum(similarities * weights, weights > 0)
    some = total > 0
    mean = scale * weighted / ops.where(some, total, 1)
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
