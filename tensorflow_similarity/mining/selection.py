"""Selecting one key a query: indices by masked minima, taken in whole passes."""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["at", "farthest", "nearest", "nearest_beyond"]

# Columns that a first pass reduces to: the minimum over the middle axis of
# [rows, groups, 64] runs at memory speed, where an argmin over whole rows of
# floats takes several passes in Keras.
_WIDTH = 64


def at(values: Any, index: Any) -> Any:
    """`values[i, index[i]]`: one entry of each row, `[rows, keys]`, `[rows]` -> `[rows]`."""
    return ops.take_along_axis(values, index[:, None], axis=1)[:, 0]


def _place_of_minimum(values: Any) -> Any:
    """The place of each row's minimum, int32 `[rows]`; one of them where several are equal."""
    keys = values.shape[1]
    if keys is None or keys % _WIDTH or keys <= _WIDTH:
        lowest = ops.min(values, axis=1, keepdims=True)
        return ops.argmax(ops.equal(values, lowest), axis=1)
    groups = ops.reshape(values, (-1, keys // _WIDTH, _WIDTH))
    column = ops.argmin(ops.min(groups, axis=1), axis=1)
    candidates = ops.take_along_axis(groups, column[:, None, None], axis=2)[:, :, 0]
    return ops.argmin(candidates, axis=1) * _WIDTH + column


def nearest(distances: Any, candidates: Any) -> Any:
    """The place of the nearest candidate of each row.

    Args:
        distances: `[rows, keys]`.
        candidates: Bool `[rows, keys]`.

    Returns:
        int32 `[rows]`. A row without a candidate gets some place or other: see
        `at(candidates, place)`.
    """
    return _place_of_minimum(ops.where(candidates, distances, float("inf")))


def farthest(distances: Any, candidates: Any) -> Any:
    """The place of the farthest candidate of each row; as `nearest` otherwise."""
    return _place_of_minimum(ops.where(candidates, -distances, float("inf")))


def nearest_beyond(distances: Any, candidates: Any, thresholds: Any) -> Any:
    """The place of the nearest candidate strictly farther than a threshold.

    Where no candidate is farther, the farthest one: what FaceNet calls
    semi-hard, as TensorFlow Addons computes it.

    Args:
        distances: `[rows, keys]`.
        candidates: Bool `[rows, keys]`.
        thresholds: `[rows]`.

    Returns:
        int32 `[rows]`; see `nearest`.
    """
    beyond = ops.logical_and(candidates, distances > thresholds[:, None])
    place = nearest(distances, beyond)
    return ops.where(at(beyond, place), place, farthest(distances, candidates))
