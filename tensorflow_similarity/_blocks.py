"""Row blocks: apply a function to a few rows at a time, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

__all__ = ["MINING_ROWS", "map_row_blocks"]

#: Rows mined at a time where the user sets no block size. Mining passes over
#: its rows several times, which is faster while they fit the caches.
MINING_ROWS = 256


def _is_float(x: Any) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))


def _recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, of tensors, whose gradient recomputes it instead of keeping its insides."""

    def call(*arguments: Any) -> Any:
        # Integers have no gradient, and recomputation would watch them in vain.
        floating = [_is_float(x) for x in arguments]

        def of_floats(*floats: Any) -> Any:
            left = iter(floats)
            return function(
                *(next(left) if f else x for x, f in zip(arguments, floating, strict=True))
            )

        floats = [x for x, f in zip(arguments, floating, strict=True) if f]
        return keras.remat(of_floats)(*floats)

    return call


def _as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which `ops.map` runs in place of a translation of it.

    TensorFlow's map translates what it calls, and all that this calls, with AutoGraph. Run eagerly,
    the translation does the same, at nearly twice the time, and takes seconds to make.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    if not tf.executing_eagerly():
        return function
    return tf.autograph.experimental.do_not_convert(function)


def map_row_blocks(
    function: Callable[..., Any],
    rows: tuple[Any, ...],
    shared: tuple[Any, ...] = (),
    block_size: int | None = None,
    recompute: bool = True,
) -> Any:
    """Computes `function(*rows, *shared)` a block of rows at a time.

    Args:
        function: Maps row arrays `[b, ...]` and the shared arrays to an array
            `[b, ...]` or a structure of them. Row i of a result depends on row
            i of the row arrays and on all of the shared ones.
        rows: Arrays that have one first axis `[n, ...]`.
        shared: Further arrays, given whole to every block. What is
            differentiated must be passed here and not be captured.
        block_size: Rows in a block; None for one block of all rows.
        recompute: Whether the gradient recomputes each block, so that memory
            stays that of one block; all results must be floats then. False where
            nothing is differentiated.

    Returns:
        What `function` returns, with `n` rows.
    """
    n = ops.shape(rows[0])[0]
    if block_size is None or (isinstance(n, int) and n <= block_size):
        return function(*rows, *shared)
    if recompute:
        function = _recomputed(function)
    # All blocks have one static shape, as XLA needs: the last one is filled up
    # with copies of the first row, whose results are cut off again below.
    blocks = -(-n // block_size)
    padded = blocks * block_size
    if not isinstance(n, int) or padded != n:
        index = ops.arange(padded)
        index = ops.where(index < n, index, ops.zeros_like(index))
        rows = tuple(ops.take(x, index, axis=0) for x in rows)
    split = tuple(ops.reshape(x, (blocks, block_size, *ops.shape(x)[1:])) for x in rows)
    results = ops.map(_as_written(lambda block: function(*block, *shared)), split)
    return keras.tree.map_structure(
        lambda x: ops.reshape(x, (padded, *ops.shape(x)[2:]))[:n], results
    )
