"""Sorting rows, and bisection in sorted rows.

Both are written in `keras.ops`. On TensorFlow's CPU kernels, NumPy sorts instead, ten times
faster thanks to vector instructions. Under XLA and on other backends, `keras.ops` sorts.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity._types import Tensor

__all__ = ["on_all_cores", "on_tensorflow_cpu", "places_beyond", "sort_rows", "sortable_bits"]

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


def sortable_bits(values: np.ndarray) -> np.ndarray:
    """int32 in the order of the float32 `values`: their bits, those of negative ones turned round.

    Its own inverse, but for the type.
    """
    bits = values.view(np.int32)
    return bits if bits.min(initial=0) >= 0 else bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _sort_block(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in ascending order, and the places where the entries were, int32.

    With its place behind its bits each entry is one integer, and integers are what
    NumPy sorts fastest.
    """
    if values.dtype != np.float32:
        order = np.argsort(values, axis=1, kind="stable").astype(np.int32)
        return np.take_along_axis(values, order, axis=1), order
    keys = sortable_bits(values).astype(np.int64)
    keys <<= 32
    keys |= np.arange(values.shape[1])
    keys.sort(axis=1)
    ordered = sortable_bits((keys >> 32).astype(np.int32)).view(np.float32)
    return ordered, keys.astype(np.int32)  # The low half: the place.


def on_all_cores(function: Callable[[slice], None], rows: int) -> None:
    """Calls `function` with slices that cover the rows, one for each core at most."""
    parts = max(min(os.cpu_count() or 1, rows // _ROWS), 1)
    ends = [rows * part // parts for part in range(parts + 1)]
    slices = [slice(*both) for both in itertools.pairwise(ends)]
    if parts == 1:
        function(slices[0])
    else:  # NumPy leaves the interpreter lock while it sorts.
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(function, slices))


def _numpy_sort(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.empty(values.shape, np.int32)
    ordered = np.empty_like(values)

    def sort(rows: slice) -> None:
        for begin in range(rows.start, rows.stop, _ROWS):
            block = slice(begin, min(begin + _ROWS, rows.stop))
            ordered[block], order[block] = _sort_block(values[block])

    on_all_cores(sort, len(values))
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
