"""Sorting rows, and bisection in sorted rows.

Both are written in `keras.ops`. On TensorFlow's CPU kernels, NumPy sorts instead, ten times
faster thanks to vector instructions. Under XLA and on other backends, `keras.ops` sorts.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity._types import Tensor

__all__ = ["on_tensorflow_cpu", "places_beyond", "sort_rows"]

# Rows that NumPy sorts at a time: 64 rows of a few thousand keys fit the cache.
_ROWS = 64


def on_tensorflow_cpu() -> bool:
    """Whether this runs, or will run, on TensorFlow's CPU kernels and not in XLA."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    try:
        # There is no public way to ask whether a graph is traced for XLA, where
        # NumPy cannot be called. If this one goes, the plain form is right too.
        from tensorflow.python.ops import control_flow_util

        in_xla = control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    except (ImportError, AttributeError):
        return False
    return not in_xla and not tf.config.list_logical_devices("GPU")


def _sort_block(values: np.ndarray) -> np.ndarray:
    """Places of the entries of float32 rows in ascending order, int32.

    The bits of a float, with those of negative ones turned round, are in the
    order of the floats. With its place behind them each entry is one integer,
    and integers are what NumPy sorts fastest.
    """
    bits = values.view(np.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64) << 32
    keys |= np.arange(values.shape[1])
    keys.sort(axis=1)
    return keys.astype(np.int32)  # The low half: the place.


def _numpy_sort(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.empty(values.shape, np.int32)
    ordered = np.empty_like(values)

    def sort(begin: int) -> None:
        rows = slice(begin, begin + _ROWS)
        if values.dtype == np.float32:
            order[rows] = _sort_block(values[rows])
        else:
            order[rows] = np.argsort(values[rows], axis=1, kind="stable")
        ordered[rows] = np.take_along_axis(values[rows], order[rows], axis=1)

    begins = range(0, len(values), _ROWS)
    if len(begins) <= 1:
        for begin in begins:
            sort(begin)
    else:  # NumPy leaves the interpreter lock while it sorts.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(sort, begins))
    return ordered, order


def sort_rows(values: Tensor) -> tuple[Any, Any]:
    """Sorts each row in ascending order.

    Args:
        values: Float `[rows, keys]`, without gradient.

    Returns:
        The sorted values, and their original positions, int32.
    """
    if on_tensorflow_cpu():
        import tensorflow as tf

        ordered, order = tf.numpy_function(
            _numpy_sort, [values], (values.dtype, tf.int32), stateful=False
        )
        return tf.ensure_shape(ordered, values.shape), tf.ensure_shape(order, values.shape)
    order = ops.cast(ops.argsort(values, axis=1), "int32")
    return ops.take_along_axis(values, order, axis=1), order


def places_beyond(ordered: Tensor, values: Tensor) -> Tensor:
    """The number of entries of each sorted row that are at most the given values.

    Args:
        ordered: `[rows, keys]`, ascending in each row.
        values: `[rows, m]`.

    Returns:
        int32 `[rows, m]`, between 0 and `keys`.
    """
    if on_tensorflow_cpu():
        import tensorflow as tf

        return tf.searchsorted(ordered, values, side="right")
    keys = ordered.shape[1]
    steps = (keys if keys is not None else 2**31 - 1).bit_length()
    size = ops.shape(ordered)[1]
    low = ops.zeros_like(values, dtype="int32")
    high = low + size
    for _ in range(steps):
        middle = (low + high) // 2
        entry = ops.take_along_axis(ordered, ops.minimum(middle, size - 1), axis=1)
        right = ops.logical_and(entry <= values, low < high)
        low, high = ops.where(right, middle + 1, low), ops.where(right, high, middle)
    return low
