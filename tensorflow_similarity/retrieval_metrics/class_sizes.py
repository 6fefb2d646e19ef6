"""Number of indexed examples of the classes, as PrecisionAtK and MapAtK take it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["class_sizes"]


def class_sizes(r: Mapping[int, int], labels: np.ndarray, without_itself: bool) -> np.ndarray:
    """R of each query, int64 `[queries]`.

    Args:
        r: Class id -> number of indexed examples.
        labels: int64 `[queries]`.
        without_itself: Whether each query is one of the examples, not to be counted.

    Raises:
        ValueError: If the class of a query is missing in `r`.
    """
    classes, inverse = np.unique(labels, return_inverse=True)
    missing = [label for label in classes.tolist() if label not in r]
    if missing:
        raise ValueError(
            "`r` must map every class of the queries to its number of indexed examples. "
            f"Received: a mapping without {missing[:5]}."
        )
    sizes = np.array([int(r[label]) for label in classes.tolist()], np.int64)[inverse]
    return np.maximum(sizes - int(without_itself), 0)
