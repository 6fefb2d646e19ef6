"""Checks of the columns of a lookup, as calibration and matching take them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks

__all__ = ["lookup_columns"]


def lookup_columns(distances: Any, neighbor_labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns distances float64 and labels int64, both `[queries, k]`, k >= 1.

    Distances that are infinite mark places without a neighbour.

    Raises:
        TypeError: If the labels are not integers.
        ValueError: If the shapes are wrong, or a distance is NaN.
    """
    values = checks.host_array(distances, "distances")
    if values.dtype.kind not in "fiu" or values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            "`distances` must be numbers of shape [queries, k]. "
            f"Received: array of shape {values.shape} and dtype {values.dtype}."
        )
    values = values.astype(np.float64)
    if np.isnan(values).any():
        raise ValueError("`distances` must not be NaN; inf marks a missing neighbour.")
    labels = checks.host_array(neighbor_labels, "neighbor_labels")
    shape = labels.shape
    if shape != values.shape:
        raise ValueError(
            f"`neighbor_labels` must have the shape of `distances`, {values.shape}. "
            f"Received: shape {shape}."
        )
    flat = checks.class_ids(labels.reshape(-1), "neighbor_labels")
    return values, flat.reshape(shape)
