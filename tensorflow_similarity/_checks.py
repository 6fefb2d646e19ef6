"""Checks of what users pass in, at the boundary, with errors that teach.

Everything here works on host arrays. Tensors inside a traced graph are checked
where they are used, because only their static shape and dtype are known there.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

__all__ = ["class_ids", "count", "embeddings"]


def _describe(array: np.ndarray) -> str:
    return f"array of shape {array.shape} and dtype {array.dtype}"


def class_ids(labels: Any, name: str = "labels", length: int | None = None) -> np.ndarray:
    """Returns `labels` as class ids: a 1-D int64 array.

    Args:
        labels: Integer ids, `[n]` or `[n, 1]`, of any integer dtype (or bool),
            as an array, a tensor or a list.
        name: The argument's name, for the error.
        length: The number of ids expected, or None for any.

    Returns:
        int64 array `[n]`. Unsigned ids beyond 2**63 wrap around, which keeps
        them distinct.

    Raises:
        TypeError: If the labels are strings, floats or objects.
        ValueError: If the shape is not `[n]` or `[n, 1]`, or the length differs.
    """
    array = np.asarray(labels)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        if array.dtype.kind in "USO":
            advice = (
                "Map each class name to an integer, e.g. np.unique(names, return_inverse=True)[1]."
            )
        else:
            advice = "Class ids are compared as integers: cast them, e.g. y.astype('int64')."
        raise TypeError(
            f"`{name}` must be integer class ids of shape [n] or [n, 1]. "
            f"Received: {_describe(array)}. {advice}"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        advice = (
            "These look like one-hot or multi-hot labels; pass np.argmax(y, axis=1) instead."
            if array.ndim == 2
            else "Pass one integer per example."
        )
        raise ValueError(
            f"`{name}` must be integer class ids of shape [n] or [n, 1]. "
            f"Received: {_describe(array)}. {advice}"
        )
    if length is not None and len(array) != length:
        raise ValueError(
            f"`{name}` must hold one class id per example: expected {length}. "
            f"Received: {len(array)} ids."
        )
    return array.astype(np.int64)


def embeddings(values: Any, name: str = "embeddings", size: int | None = None) -> np.ndarray:
    """Returns `values` as embeddings: a finite, C-contiguous float32 array `[n, dim]`.

    Args:
        values: Real numbers `[n, dim]`, as an array, a tensor or nested lists.
        name: The argument's name, for the error.
        size: The embedding size expected, or None for any.

    Raises:
        TypeError: If the values are not real numbers.
        ValueError: If the shape is not `[n, dim]`, the size differs, or a value
            is NaN or infinite (also after the cast to float32).
    """
    array = np.asarray(values)
    # Kind "V" is how NumPy sees bfloat16 where ml_dtypes is loaded.
    if array.dtype.kind not in "fiubV" or array.dtype.names is not None:
        raise TypeError(f"`{name}` must be real numbers. Received: {_describe(array)}.")
    if array.ndim != 2:
        advice = " For a single embedding pass x[None, :]." if array.ndim == 1 else ""
        raise ValueError(
            f"`{name}` must have shape [n, dim]. Received: {_describe(array)}.{advice}"
        )
    if size is not None and array.shape[1] != size:
        raise ValueError(
            f"`{name}` must have embedding size {size}, the size of the records. "
            f"Received: {_describe(array)}."
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    # min and max propagate NaN and meet inf: two passes without a temporary.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        raise ValueError(
            f"`{name}` must be finite in float32. Received: NaN or inf in {len(bad)} of "
            f"{len(array)} rows, the first at row {bad[0]}."
        )
    return array


def count(value: Any, name: str, minimum: int = 1) -> int:
    """Returns `value` as an int of at least `minimum`.

    Raises:
        TypeError: If the value is not an integer.
        ValueError: If it is smaller than `minimum`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. Received: {value!r}.")
    if value < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}. Received: {value}.")
    return int(value)
