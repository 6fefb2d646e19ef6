"""Embeddings so large, or so small, that their distances leave the range of float32."""

from __future__ import annotations

import math
import warnings

import keras
import numpy as np

from tensorflow_similarity import distances
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.distances.base import Distance

__all__ = ["LARGE", "SMALL", "check_ranking_scale", "check_scale"]

#: Distances of numbers between these are right, whatever a distance does about zeros.
LARGE, SMALL = 1e17, 1e-12
# Some rows, and differences between rows, are smaller than the largest by so much.
_SMALLER = 16
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def check_scale(distance: Distance, embeddings: np.ndarray, name: str = "embeddings") -> None:
    """Checks that the distances between embeddings fit into float32.

    A distance is asked only about very large or very small numbers, with rows that are as far
    apart as such numbers can be.

    Args:
        distance: The distance.
        embeddings: Finite float32 `[n, dim]`.
        name: The argument's name, for messages.

    Raises:
        ValueError: If distances are infinite or NaN, as squares of large numbers are.
    """
    if not embeddings.size:
        return
    largest = float(max(embeddings.max(), -embeddings.min()))
    if SMALL <= largest <= LARGE or not largest:
        return
    row = np.where(np.arange(embeddings.shape[1]) % 2, -1, 1).astype(np.float32)[None]
    if not np.isfinite(_distances(distance, row * np.float32(largest))).all():
        raise ValueError(
            f"`{name}` must be so small that their distances, {distance.name!r}, are finite in "
            f"float32. Received: numbers up to {largest:g}. Scale them down, e.g. "
            f"{name} / {largest:.0e}."
        )
    if largest > LARGE:
        return
    unit, size = _distances(distance, row)[1], largest / _SMALLER
    opposite = _distances(distance, row * np.float32(size))[1]
    # Distances do not depend on the scale, or grow with it or with its square.
    kept = any(math.isclose(opposite, unit * size**power, rel_tol=0.01) for power in range(3))
    if not kept or abs(opposite) < _SMALLEST_NORMAL:
        warnings.warn(
            f"`{name}` are {largest:g} at most in size, and their distances, {distance.name!r}, "
            "vanish in float32: those that differ may count as equal. Scale them up, e.g. "
            f"{name} / {largest:.0e}.",
            stacklevel=levels_to_the_caller(),
        )


def check_ranking_scale(distance: Distance, embeddings: np.ndarray, name: str) -> None:
    """As `check_scale`, where keys are ranked by a product and not by `distance.pairwise`.

    Lengths are ranked by their squares then, which are right where a root near 0 is not.
    """
    product = distance.product()
    by_square = product is not None and product.space == "euclidean" and product.transform is None
    check_scale(distances.get("squared_euclidean") if by_square else distance, embeddings, name)


def _distances(distance: Distance, row: np.ndarray) -> list[float]:
    """The distances of a row from itself and from its opposite."""
    with np.errstate(all="ignore"):
        found = distance.pairwise(row, np.concatenate([row, -row]))
    values: list[float] = keras.ops.convert_to_numpy(found).ravel().tolist()
    return values
