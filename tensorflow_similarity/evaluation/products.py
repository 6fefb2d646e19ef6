"""The matrix product that ranks a gallery for evaluation.

Cosine and Euclidean distance grow with ||q - k||^2 (for cosine, of unit rows, where it also keeps
the digits that 1 - cos loses when all embeddings point the same way). `[-2q, |q|^2, 1] . [k, 1,
|k|^2]` is that square; the keys' side is made once for all blocks of queries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity.distances import Distance, Product, product_of
from tensorflow_similarity.distances.rows import unit_rows

__all__ = ["RankingProduct"]


class RankingProduct:
    """A product `left(queries) @ right.T` that ranks a gallery like a distance.

    Args:
        product: The product of the distance.
        gallery: float32 `[n, dim]`.

    Attributes:
        right: The gallery's side, float32 `[n, m]`.
        floor: Lower bound of all values, up to rounding.
    """

    def __init__(self, product: Product, gallery: np.ndarray) -> None:
        self._product = product
        keys = product.rows(gallery, np)
        self._unit = product.space == "cosine"
        self._squares = product.space != "inner_product"
        self.floor = 0.0 if self._squares else -np.inf
        if not self._squares:
            self.right = _float32(keys)
            return
        rows = unit_rows(_float32(keys)) if self._unit else keys
        self._center = _center(rows)
        moved = rows - self._center
        right = np.column_stack([moved, np.ones(len(rows), np.float32), _squares(moved)])
        if self._unit:
            # Rows of zeros are at distance 1 from all, which is a square of 2.
            right[~keys.any(axis=1)] = np.append(np.zeros(right.shape[1] - 1), 2)
        self.right = _float32(right)

    @classmethod
    def of(cls, distance: Distance, gallery: np.ndarray) -> RankingProduct | None:
        """The product for a distance to a gallery `[n, dim]`, or None if the distance has none."""
        product = product_of(distance)
        return None if product is None else cls(product, gallery)

    def left(self, queries: np.ndarray) -> np.ndarray:
        """The queries' side, float32 `[rows, m]`."""
        queries = self._product.rows(queries, np)
        if not self._squares:
            return -_float32(queries)
        moved = (unit_rows(_float32(queries)) if self._unit else queries) - self._center
        left = np.column_stack([-2 * moved, _squares(moved), np.ones(len(moved), np.float32)])
        if self._unit:
            left[~queries.any(axis=1)] = 0  # As far from all keys.
        return _float32(left)


def _float32(rows: Any) -> np.ndarray:
    return np.ascontiguousarray(rows, np.float32)


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", rows, rows)


def _center(keys: np.ndarray) -> np.ndarray:
    """The offset to subtract from embeddings, so that no large common offset is squared.

    It is a multiple of a power of two near the spread, so that whole numbers stay whole and
    equal distances stay equal.
    """
    mean = keys.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(keys.var(axis=0, dtype=np.float64).mean())
    if not spread > 0:
        return mean.astype(np.float32)
    step = 2.0 ** np.ceil(np.log2(spread))
    return (step * np.rint(mean / step)).astype(np.float32)
