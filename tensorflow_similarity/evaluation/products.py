"""Distances of which a single matrix product gives the order.

Cosine and Euclidean distance grow with ||q - k||^2 (for cosine, of unit rows,
where it also keeps the digits that 1 - cos loses when all embeddings point the
same way). `[-2q, |q|^2, 1] . [k, 1, |k|^2]` is that square; the keys' side is
made once for all blocks of queries.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tensorflow_similarity.distances import (
    CosineDistance,
    Distance,
    EuclideanDistance,
    SquaredEuclideanDistance,
)
from tensorflow_similarity.distances.cosine import unit_rows

__all__ = ["SquareProduct"]


@dataclasses.dataclass(frozen=True)
class SquareProduct:
    """`left(queries) @ right.T` is the square of a distance, or of its chord for cosine."""

    right: np.ndarray
    centre: np.ndarray
    of_unit_rows: bool

    @classmethod
    def of(cls, distance: Distance, gallery: np.ndarray) -> SquareProduct | None:
        """The product for a distance to a gallery `[n, dim]`, or None where there is none."""
        # By type: a user's subclass may compute something else.
        of_unit_rows = type(distance) is CosineDistance
        if not of_unit_rows and type(distance) not in (EuclideanDistance, SquaredEuclideanDistance):
            return None
        keys = np.asarray(unit_rows(gallery)) if of_unit_rows else gallery
        centre = _centre(keys)
        moved = keys - centre
        right = np.column_stack([moved, np.ones(len(keys), np.float32), _squares(moved)])
        if of_unit_rows:
            # Rows of zeros are at distance 1 from all, which is a square of 2.
            right[~gallery.any(axis=1)] = np.append(np.zeros(len(centre) + 1), 2)
        return cls(np.ascontiguousarray(right, np.float32), centre, of_unit_rows)

    def left(self, queries: np.ndarray) -> np.ndarray:
        """The queries' side of the product, float32 `[rows, dim + 2]`."""
        rows = np.asarray(unit_rows(queries)) if self.of_unit_rows else queries
        moved = rows - self.centre
        left = np.column_stack([-2 * moved, _squares(moved), np.ones(len(rows), np.float32)])
        if self.of_unit_rows:
            left[~queries.any(axis=1)] = 0  # All keys alike.
        return np.ascontiguousarray(left, np.float32)


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", rows, rows)


def _centre(keys: np.ndarray) -> np.ndarray:
    """What to move embeddings by, so that no large common offset is squared.

    A multiple of a power of two near the spread: whole numbers stay whole, and
    equal distances between them equal.
    """
    mean = keys.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(keys.var(axis=0, dtype=np.float64).mean())
    if not spread > 0:
        return mean.astype(np.float32)
    step = 2.0 ** np.ceil(np.log2(spread))
    return (step * np.rint(mean / step)).astype(np.float32)
