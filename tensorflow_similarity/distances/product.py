"""Distances whose order one matrix product gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tensorflow_similarity._types import Tensor

__all__ = ["SPACES", "Product"]

#: Where a product ranks: by the angle, by the length of the difference, or by the product itself.
SPACES = ("cosine", "euclidean", "inner_product", "squared_euclidean")


@dataclasses.dataclass(frozen=True)
class Product:
    """How a matrix product ranks a distance, as `Distance.product` tells it.

    For each query, the distance must increase with the value that `space` gives to the transformed
    rows. Exact search, evaluation, every engine, Milvus and the exported SavedModel then multiply
    matrices instead of calling the distance on every pair.

    Attributes:
        space: One of `SPACES`. Values are those of the distance of that name: for
            `"euclidean"` the length of the difference.
        transform: What is done to queries and keys first: `(rows [..., dim], xp) -> [...,
            dim2]`, by the last axis alone, where `xp` is `numpy` or `keras.ops`. None: nothing.
        finish: The distance, from the values in the space: `(values [q, m], queries [q, dim2], xp)
            -> [q, m]`, of transformed queries. None: they are the distance.

    Raises:
        ValueError: If there is no such space.

    Example:

    ```python
    from keras import ops
    from tensorflow_similarity.distances import Distance, Product

    class ScaledDistance(Distance):
        '''Euclidean distance whose first coordinate counts twice.'''

        name = "scaled"

        def _scaled(self, rows, xp):
            return xp.concatenate([2 * rows[..., :1], rows[..., 1:]], axis=-1)

        def pairwise(self, queries, keys):
            queries, keys = (self._scaled(x, ops) for x in (queries, keys))
            return ops.sqrt(ops.sum(ops.square(queries[:, None] - keys[None]), axis=-1))

        def product(self):
            return Product("euclidean", transform=self._scaled)

    ScaledDistance()([[0.0, 0.0]], [[3.0, 8.0]])  # [[10.]]
    ```
    """

    space: str
    transform: Callable[[Any, ModuleType], Any] | None = None
    finish: Callable[[Any, Any, ModuleType], Any] | None = None

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise ValueError(f"`space` must be one of {list(SPACES)}. Received: {self.space!r}.")

    @property
    def plain(self) -> bool:
        """Whether the distance is that of the space, on the rows themselves."""
        return self.transform is None and self.finish is None

    def rows(self, rows: Any, xp: ModuleType) -> Any:
        """The rows as the space takes them."""
        return rows if self.transform is None else self.transform(rows, xp)

    def values(self, values: Any, queries: Tensor, xp: ModuleType) -> Any:
        """The distances, from values in the space and transformed queries `[q, dim]`."""
        return values if self.finish is None else self.finish(values, queries, xp)
