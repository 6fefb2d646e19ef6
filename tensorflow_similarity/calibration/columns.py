"""Checks of lookup results, as calibration and matching take them."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.targets import TargetsLike

__all__ = ["lookup_columns", "right_matches"]


def lookup_columns(
    distances: ArrayLike, neighbor_labels: ArrayLike
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Returns distances float64 and label ids int64, both `[queries, k]`, and class names.

    Distances are set to infinity where there is no neighbour, or it has no label (None, or −1),
    since a neighbour of unknown class is never a match. Sets of labels are numbered; the sets
    are returned as the class names.

    Raises:
        TypeError: If the labels are neither ids nor names.
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
    if (sets := targets.set_codes(labels, "neighbor_labels")) is not None:
        codes, names = sets
        return np.where(codes >= 0, values, np.inf), codes, names
    flat, known = targets.label_table(neighbor_labels, "neighbor_labels")
    return np.where(known, values, np.inf), flat.ids.reshape(shape), flat.class_names


def right_matches(
    labels: np.ndarray, query_labels: TargetsLike
) -> tuple[np.ndarray, targets.Targets]:
    """Which matches have (one of) the labels of their query, bool `[queries]`; and the queries.

    No match is right for a query of unknown class, so accepting one is always wrong.

    Args:
        labels: Labels of matches `[queries]`, ids or names; −1 or None for none.
        query_labels: Labels of the queries: classes, or several labels.
    """
    right, _, queries = targets.lookup_labels(labels[:, None], query_labels, "matches")
    return right[:, 0], queries
