"""Arrays that grow: appending rows is amortised, and old views stay valid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["Column", "aligned_empty"]

# New buffers have this much more room than they need: each row is copied at
# most twice on average, and memory that was never written is never paged in.
_SLACK = 1.5
_SMALLEST_CAPACITY = 64
# What other libraries ask of memory to read it in place; NumPy gives 16.
_ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like `np.empty`, at an address that is a multiple of 64."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


class Column:
    """Rows of one shape and dtype, appended to in amortised constant time.

    Rows that were appended never change, and a buffer that is outgrown is left
    to those who still look at it. A view taken before an append is therefore a
    snapshot, which a reader may use while a writer appends.

    Args:
        rows: The first rows, `[n, ...]`, which fix shape and dtype. Taken as
            they are, without a copy, until the first append.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._buffer = rows
        self._length = len(rows)

    @classmethod
    def empty(cls, row_shape: tuple[int, ...], dtype: Any) -> Column:
        """A column without rows."""
        return cls(np.empty((0, *row_shape), dtype))

    def __len__(self) -> int:
        return self._length

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self._buffer.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """The type of the values."""
        return self._buffer.dtype

    def view(self) -> np.ndarray:
        """The rows so far, without a copy."""
        return self._buffer[: self._length]

    def truncate(self, length: int) -> None:
        """Forgets the rows from `length` on, which nobody else may have seen."""
        self._length = min(self._length, length)

    def append(self, rows: np.ndarray) -> None:
        """Adds rows `[m, ...]`."""
        end = self._length + len(rows)
        self._reserve(end)
        self._buffer[self._length : end] = rows
        self._length = end

    def copy(self) -> Column:
        """A column of its own with the same rows, and as much room."""
        other = Column(aligned_empty(self._buffer.shape, self.dtype))
        other._length = self._length
        other._buffer[: self._length] = self.view()
        return other

    def _reserve(self, length: int) -> None:
        if length <= len(self._buffer) and self._buffer.flags.writeable:
            return
        capacity = max(int(length * _SLACK), _SMALLEST_CAPACITY)
        buffer = aligned_empty((capacity, *self.row_shape), self.dtype)
        buffer[: self._length] = self.view()
        self._buffer = buffer
