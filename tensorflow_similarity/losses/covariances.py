"""Statistics of the features of a batch, for the losses that decorrelate them."""

from __future__ import annotations

from typing import Any

from keras import ops

__all__ = ["batch_size_of", "centred", "off_diagonal_squares"]


def batch_size_of(z: Any) -> Any:
    """The number of rows, as a float of z's type."""
    return ops.sum(ops.ones_like(z[:, 0]))


def centred(z: Any) -> Any:
    """`z` less the mean of each feature over the batch."""
    return z - ops.mean(z, axis=0, keepdims=True)


def off_diagonal_squares(matrix: Any) -> Any:
    """The sum of the squares off the diagonal of a square matrix."""
    # The difference of the two sums would cancel where the diagonal is large.
    off = 1 - ops.eye(ops.shape(matrix)[0], dtype=matrix.dtype)
    return ops.sum(ops.square(matrix * off))
