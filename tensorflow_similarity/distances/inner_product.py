"""Negative inner product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from keras import ops

from tensorflow_similarity import _old_names
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import Distance, promote
from tensorflow_similarity.distances.gradients import negative_products
from tensorflow_similarity.distances.product import Product

__all__ = ["InnerProductDistance"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class InnerProductDistance(Distance):
    """`-<a, b>`, the negative inner product, so that smaller is more similar here too.

    It is not a metric: a vector need not be its own nearest neighbour.

    Names: `"inner_product"`, `"ip"`.

    Example:

    ```python
    from tensorflow_similarity.distances import InnerProductDistance

    InnerProductDistance()([[1.0, 2.0]], [[3.0, 4.0]])  # [[-11.]]
    ```
    """

    name = "inner_product"

    def product(self) -> Product:
        return Product("inner_product")

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        return negative_products(queries, keys)

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = promote(a, b)
        return -ops.sum(a * b, axis=-1)


if not TYPE_CHECKING:
    __getattr__ = _old_names.of(__name__)
