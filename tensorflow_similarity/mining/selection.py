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
        Integer `[rows]`. A row without a candidate gets some place or other: see
        `at(candidates, place)`.
    """
    return _place_of_minimum(ops.where(candidates, distances, float("inf")))


def farthest(distances: Any, candidates: Any) -> Any:
    """The place of the farthest candidate of each row; as `nearest` otherwise."""
    return _place_of_minimum(ops.where(candidates, -distances, float("inf")))


def nearest_beyond(distances: Any, candidates: Any, thresholds: Any, number: Any = None) -> Any:
    """The places of the nearest candidates strictly farther than thresholds.

    Where no candidate is farther, the farthest one: what FaceNet calls
    semi-hard, as TensorFlow Addons computes it. Each threshold takes a pass over
    the row.

    Args:
        distances: `[rows, keys]`.
        candidates: Bool `[rows, keys]`.
        thresholds: `[rows, m]`.
        number: How many of the m are sought, if not all; an integer scalar.

    Returns:
        int32 `[rows, m]`; see `nearest`.
    """
    masked = ops.where(candidates, distances, -float("inf"))
    last = ops.cast(_place_of_minimum(-masked), "int32")
    slots = ops.arange(thresholds.shape[1], dtype="int32")[None, :]

    def step(slot: Any, places: Any) -> tuple[Any, Any]:
        this = slots == slot
        threshold = ops.sum(ops.where(this, thresholds, 0), axis=1)
        beyond = ops.where(masked > threshold[:, None], masked, float("inf"))
        place = ops.cast(_place_of_minimum(beyond), "int32")
        found = at(beyond, place) < float("inf")
        return slot + 1, ops.where(this, ops.where(found, place, last)[:, None], places)

    places = ops.zeros_like(thresholds, dtype="int32")
    if thresholds.shape[1] == 1:
        return step(ops.zeros((), dtype="int32"), places)[1]
    number = ops.convert_to_tensor(thresholds.shape[1] if number is None else number, "int32")
    return ops.while_loop(
        lambda slot, places: slot < number, step, (ops.zeros_like(number), places)
    )[1]
