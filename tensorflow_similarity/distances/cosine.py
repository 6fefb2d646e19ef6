"""Cosine distance, and the safe normalisation that it rests on."""

from __future__ import annotations

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import Distance, promote
from tensorflow_similarity.distances.gradients import (
    WithGradient,
    negative_products,
    with_gradient,
)
from tensorflow_similarity.distances.product import Product
from tensorflow_similarity.distances.rows import SMALLEST_ROW

__all__ = ["CosineDistance", "unit_rows"]


def unit_rows(x: Tensor) -> Tensor:
    """Scales rows (the last axis) to length 1; rows of zeros stay zeros.

    The gradient of a row of zeros is zero. Rows are divided by their largest
    entry first, so that no square overflows or vanishes.

    Args:
        x: Float tensor `[..., dim]`.

    Returns:
        Tensor of the same shape and dtype.
    """
    return with_gradient(_unit_rows, x)


def _unit_rows(x: Tensor) -> WithGradient:
    """The rows at length 1, and how a gradient of theirs becomes one of `x`."""
    sizes = ops.abs(ops.stop_gradient(x))
    largest = ops.max(sizes, axis=-1, keepdims=True)
    # A row with NaN must stay NaN. Its sum is NaN, which compares as false; its maximum is
    # 0 to XLA, and the negation of `>` becomes `<=` in TensorFlow's graphs.
    zero = ops.sum(sizes, axis=-1, keepdims=True) <= SMALLEST_ROW
    # The scale is a constant to the gradient: the result does not depend on it.
    scale = ops.where(zero, 1, largest)
    scaled = x / scale
    squares = ops.sum(ops.square(scaled), axis=-1, keepdims=True)
    inverse = ops.where(zero, 0, ops.rsqrt(ops.where(zero, 1, squares)))
    units = scaled * inverse

    def gradient(units: Tensor, inverse: Tensor, scale: Tensor, upstream: Tensor) -> Tensor:
        along = ops.sum(upstream * units, axis=-1, keepdims=True)
        return inverse / scale * (upstream - along * units)

    return units, (units, inverse, scale), gradient


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CosineDistance(Distance):
    """`1 - cos(a, b)`, between 0 and 2 up to rounding.

    Rows are normalised here, so embeddings need not be. A row of zeros has no
    direction and is at distance 1 from all.

    Names: `"cosine"`.

    Example:

    ```python
    from tensorflow_similarity.distances import CosineDistance

    CosineDistance()([[1.0, 0.0]], [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
    # [[0., 1., 2.]]
    ```
    """

    name = "cosine"

    def product(self) -> Product:
        return Product("cosine")

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        units = unit_rows(queries)
        return 1 + negative_products(units, units if keys is queries else unit_rows(keys))

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = promote(a, b)
        return 1 - ops.sum(unit_rows(a) * unit_rows(b), axis=-1)
