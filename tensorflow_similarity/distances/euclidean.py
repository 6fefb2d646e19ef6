"""Euclidean distance, squared and plain."""

from __future__ import annotations

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import Distance, promote
from tensorflow_similarity.distances.gradients import lengths_among, squares, squares_among
from tensorflow_similarity.distances.product import Product

__all__ = ["EuclideanDistance", "SquaredEuclideanDistance", "squared_differences"]

# sqrt has no gradient at 0. Lengths clipped from below have gradient 0 there, and a value that is
# this at least.
_SMALLEST_LENGTH = 1e-15


def squared_differences(queries: Tensor, keys: Tensor) -> Tensor:
    """`||q - k||^2` for every query and key, by one matrix product.

    Both sides are moved to the mean of the keys first: the product subtracts large numbers
    where embeddings share an offset.

    Args:
        queries: `[n, dim]`.
        keys: `[m, dim]`.

    Returns:
        `[n, m]`; rounding may leave values slightly below 0.
    """
    centre = _centre(keys)
    if keys is queries:
        return squares_among(queries - centre)
    return squares(queries - centre, keys - centre)


def _centre(keys: Tensor) -> Tensor:
    return ops.stop_gradient(ops.mean(keys, axis=0, keepdims=True))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SquaredEuclideanDistance(Distance):
    """`||a - b||^2`, the squared Euclidean (L2) distance.

    Names: `"squared_euclidean"`, `"sql2"`, `"squared_l2"`.

    Example:

    ```python
    from tensorflow_similarity.distances import SquaredEuclideanDistance

    SquaredEuclideanDistance()([[0.0, 0.0]], [[3.0, 4.0]])  # [[25.]]
    ```
    """

    name = "squared_euclidean"

    def product(self) -> Product:
        return Product("squared_euclidean")

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        return ops.relu(squared_differences(queries, keys))

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = promote(a, b)
        return ops.sum(ops.square(a - b), axis=-1)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class EuclideanDistance(Distance):
    """`||a - b||_2`, the Euclidean (L2) distance; its gradient is 0 where a = b.

    Names: `"euclidean"`, `"l2"`.

    Example:

    ```python
    from tensorflow_similarity.distances import EuclideanDistance

    EuclideanDistance()([[0.0, 0.0]], [[3.0, 4.0]])  # [[5.]]
    ```
    """

    name = "euclidean"

    def product(self) -> Product:
        return Product("euclidean")

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        if keys is queries:
            return lengths_among(keys - _centre(keys), _SMALLEST_LENGTH)
        squares = ops.maximum(squared_differences(queries, keys), _SMALLEST_LENGTH**2)
        return ops.sqrt(squares)

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = promote(a, b)
        squares = ops.sum(ops.square(a - b), axis=-1)
        apart = squares > _SMALLEST_LENGTH**2
        return ops.where(apart, ops.sqrt(ops.where(apart, squares, 1)), 0)
