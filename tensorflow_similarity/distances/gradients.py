"""Functions of matrices whose gradient is cheaper than that of their steps.

A batch that is compared with itself is both sides of a product. With G the gradient of its
result, that of the batch is `G x + G^T x`: one product of `G + G^T` with x, and not two.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from tensorflow_similarity._types import Tensor

__all__ = ["negative_products", "products", "slope_of", "squares", "squares_among", "with_gradient"]


def with_gradient(
    function: Callable[[Tensor], tuple[Tensor, Callable[[Tensor], Tensor]]], x: Tensor
) -> Tensor:
    """The value of `function(x)`, with the gradient that it returns beside the value.

    JAX and PyTorch differentiate the steps of the value, to the same gradient.

    Args:
        function: Maps a tensor to its value, and to a function from a gradient of the value to one
            of the tensor.
        x: The tensor.
    """
    if keras.backend.backend() != "tensorflow":
        return function(x)[0]
    import tensorflow as tf

    return tf.custom_gradient(function)(x)


def slope_of(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The derivative of an elementwise function at `x`, for a gradient of `with_gradient`.

    Args:
        function: Maps each entry of a tensor by itself.
        x: The tensor.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        values = function(x)
    return tape.gradient(values, x, unconnected_gradients="zero")


def products(queries: Tensor, keys: Tensor) -> Tensor:
    """`<q, k>` of every query and key, `[n, dim]` and `[m, dim]` -> `[n, m]`."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The gradient of a transposed matrix would be transposed back, in a pass of its own.
        return tf.matmul(queries, keys, transpose_b=True)
    return ops.matmul(queries, ops.transpose(keys))


def negative_products(queries: Tensor, keys: Tensor) -> Tensor:
    """`-<q, k>` of every query and key, `[n, dim]` and `[m, dim]` -> `[n, m]`."""
    if keys is queries:
        return with_gradient(_negative_products_among, queries)
    return products(-queries, keys)


def squares_among(x: Tensor) -> Tensor:
    """`||a - b||^2` of every two rows of a matrix near the origin, `[n, dim]` -> `[n, n]`."""
    return with_gradient(_squares_among, x)


def squares(queries: Tensor, keys: Tensor) -> Tensor:
    """`||q - k||^2` of every query and key near the origin, `[n, dim]` and `[m, dim]` -> `[n, m]`.

    `[-2q, |q|^2, 1] . [k, 1, |k|^2]` expands the square inside the product, so that neither
    direction makes a further pass over the matrix.
    """

    def lengths(x: Tensor) -> Tensor:
        return ops.sum(ops.square(x), axis=-1, keepdims=True)

    left = ops.concatenate([-2 * queries, lengths(queries), ops.ones_like(queries[:, :1])], axis=1)
    right = ops.concatenate([keys, ops.ones_like(keys[:, :1]), lengths(keys)], axis=1)
    return ops.matmul(left, ops.transpose(right))


def _negative_products_among(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    def gradient(upstream: Tensor) -> Tensor:
        return ops.matmul(upstream + ops.transpose(upstream), -x)

    return ops.matmul(-x, ops.transpose(x)), gradient


def _squares_among(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    def gradient(upstream: Tensor) -> Tensor:
        # Sums of `g (a - b)`: of what is subtracted, and beside it of g.
        ones = ops.ones_like(x[:, :1])
        sums = ops.matmul(upstream + ops.transpose(upstream), ops.concatenate([x, ones], axis=1))
        return 2 * (x * sums[:, -1:] - sums[:, :-1])

    return squares(x, x), gradient
