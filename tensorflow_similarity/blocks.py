"""Row blocks: apply a function to a few rows at a time, in bounded memory.

The gradient recomputes each block instead of keeping what its forward pass
made, so memory is that of one block whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

__all__ = ["map_row_blocks"]


def map_row_blocks(
    function: Callable[..., Any],
    rows: tuple[Any, ...],
    block_size: int,
    recompute: bool = True,
) -> Any:
    """Applies `function` to blocks of `block_size` rows and joins the results.

    Args:
        function: Maps arrays `[block_size, ...]`, one for each of `rows`, to an
            array `[block_size, ...]` or a tuple of them. Row i of a result may
            depend on row i of the arguments only (and on anything captured).
        rows: Arrays that share their first axis `[n, ...]`.
        block_size: Rows in a block.
        recompute: Whether the gradient recomputes a block instead of keeping
            its intermediate values. False where nothing is differentiated.

    Returns:
        What `function` returns, with `n` rows.
    """
    n = ops.shape(rows[0])[0]
    if isinstance(n, int) and n <= block_size:
        return function(*rows)
    # All blocks have one static shape, as XLA needs: the last one is filled up
    # with copies of the first row, which are cut off again below.
    blocks = -(-n // block_size)
    missing = blocks * block_size - n
    order = ops.arange(blocks * block_size)
    order = ops.where(order < n, order, 0) if not isinstance(missing, int) or missing else None

    def split(x: Any) -> Any:
        x = x if order is None else ops.take(x, order, axis=0)
        return ops.reshape(x, (blocks, block_size, *x.shape[1:]))

    def join(x: Any) -> Any:
        return ops.reshape(x, (blocks * block_size, *x.shape[2:]))[:n]

    def body(block: tuple[Any, ...]) -> Any:
        return function(*block)

    if recompute:
        recomputed = keras.remat(function)

        def body(block: tuple[Any, ...]) -> Any:
            return recomputed(*block)

    return keras.tree.map_structure(join, ops.map(body, tuple(split(x) for x in rows)))
