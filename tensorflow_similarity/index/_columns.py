"""Arrays that grow: appending rows is amortised, and old views stay valid.

Rows may lie in memory or in a file that is mapped into memory, and then need
none of their own. Both are read alike.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import Any, Protocol

import numpy as np

__all__ = [
    "ALIGNMENT",
    "LARGEST_IN_MEMORY",
    "Chained",
    "Chosen",
    "Column",
    "RowArray",
    "aligned_empty",
    "lies_in_file",
    "roomy_empty",
    "taken",
]

# New buffers have this much more room than they need: each row is copied at
# most twice on average, and memory that was never written is never paged in.
_SLACK = 1.5
_SMALLEST_CAPACITY = 64
#: The alignment that other libraries need to read memory in place; NumPy guarantees 16.
ALIGNMENT = 64
# Columns that may lie in a file do so from this size on.
LARGEST_IN_MEMORY = 1 << 26
# Bytes copied at a time.
_CHUNK = 1 << 22


class RowArray(Protocol):
    """What is read of rows: an array, or what gives arrays for slices and positions."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any) -> np.ndarray: ...

    def take(self, indices: Any, axis: Any) -> Any: ...


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like `np.empty`, aligned to 64 bytes."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def roomy_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Like `aligned_empty`; a large array lies in an unnamed temporary file.

    The file is in the folder for temporary files (`TMPDIR`).

    Raises:
        OSError: If there is no room for it.
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    # Without room reserved for it, writing to a mapped file may kill the process.
    if size <= LARGEST_IN_MEMORY or not hasattr(os, "posix_fallocate"):
        return aligned_empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="tfsim_") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        mapping = mmap.mmap(file.fileno(), size)
    return np.frombuffer(mapping, dtype).reshape(shape)


def lies_in_file(array: Any) -> bool:
    """Whether the rows are those of a mapped file."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array.obj if isinstance(array, memoryview) else array, mmap.mmap)


class Chained:
    """Two arrays that are read as one."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._parts = first, second
        self.dtype = first.dtype
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self._parts)

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The arrays."""
        return self._parts

    def __getitem__(self, key: Any) -> np.ndarray:
        first, second = self._parts
        split = len(first)
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            if stop <= split:
                return first[start:stop]
            if start >= split:
                return second[start - split : stop - split]
            return np.concatenate([first[start:], second[: stop - split]])
        return self.take(key)

    def take(self, indices: Any, axis: int = 0) -> np.ndarray:
        """As that of an array, for the first axis; negative ones count from the end."""
        first, second = self._parts
        split, rows = len(first), np.asarray(indices)
        rows = np.where(rows < 0, rows + len(self), rows)
        late = rows >= split
        if not late.any():
            return first.take(rows, axis)
        if late.all():
            return second.take(rows - split, axis)
        result = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        result[~late] = first[rows[~late]]
        result[late] = second[rows[late] - split]
        return result


class Chosen:
    """Some rows of an array, gathered only when they are read.

    Args:
        source: The array.
        rows: The rows, increasing.
        there: bool `[n]`: of which of them the values are told, and not zeros; None for all.
    """

    def __init__(self, source: RowArray, rows: np.ndarray, there: np.ndarray | None = None) -> None:
        self._source = source
        self._rows = rows
        self._there = there
        self.shape = (len(rows), *source.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self._source[:0].dtype.itemsize

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = self._rows[key]
        if isinstance(key, slice) and len(rows) and rows[-1] - rows[0] == len(rows) - 1:
            values = self._source[rows[0] : rows[-1] + 1]  # which need not be copied together
        else:
            values = self._source[rows]
        if self._there is None or self._there[key].all():
            return values
        values = values.copy()
        values[~self._there[key]] = 0
        return values

    def take(self, indices: Any, axis: int = 0) -> np.ndarray:
        """As that of an array, for the first axis."""
        return self[np.asarray(indices)]


def taken(source: RowArray, rows: np.ndarray) -> np.ndarray:
    """`source[rows]`, in a file where that is large."""
    kind = source[:0].dtype
    each = math.prod(source.shape[1:]) * kind.itemsize
    if len(rows) * each <= LARGEST_IN_MEMORY:
        return source[rows]
    result = roomy_empty((len(rows), *source.shape[1:]), kind)
    step = max(1, _CHUNK // each)
    for start in range(0, len(rows), step):
        result[start : start + step] = source[rows[start : start + step]]
    return result


class Column:
    """Rows of one shape and dtype, appended to in amortised constant time.

    Rows that were appended never change, and a buffer that is outgrown is left
    to those who still look at it. A view taken before an append is therefore a
    snapshot, which a reader may use while a writer appends.

    Args:
        rows: The first rows, `[n, ...]`, which fix shape and dtype. Taken as
            they are, without a copy: until the first append, and for good if
            they lie in a file, or are the first of chained ones.
        roomy: Whether rows may be moved to a file when they are many.
    """

    def __init__(self, rows: np.ndarray | Chained, roomy: bool = False) -> None:
        self._base: np.ndarray | None = None
        if isinstance(rows, Chained):
            self._base, self._buffer = rows.parts
        elif lies_in_file(rows):
            self._base, self._buffer = rows, rows[:0].copy()
        else:
            self._buffer = rows
        self._length = len(self._buffer)
        self._empty = roomy_empty if roomy else aligned_empty
        self._process = os.getpid()

    @classmethod
    def empty(cls, row_shape: tuple[int, ...], dtype: Any) -> Column:
        """A column without rows."""
        return cls(np.empty((0, *row_shape), dtype))

    def __len__(self) -> int:
        return self._length + self._based

    @property
    def _based(self) -> int:
        return 0 if self._base is None else len(self._base)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return self._buffer.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """The type of the values."""
        return self._buffer.dtype

    def view(self) -> Any:
        """The rows so far, without a copy: an array, or `Chained`."""
        rows = self._buffer[: self._length]
        if self._base is None:
            return rows
        return Chained(self._base, rows) if self._length else self._base

    def truncate(self, length: int) -> None:
        """Drops the rows from `length` on, which no reader may have seen."""
        self._length = min(self._length, max(length - self._based, 0))

    def append(self, rows: np.ndarray) -> None:
        """Adds rows `[m, ...]`."""
        end = self._length + len(rows)
        self._reserve(end)
        self._buffer[self._length : end] = rows
        self._length = end

    def copy(self) -> Column:
        """An independent copy with the same rows and capacity, entirely in memory."""
        other = Column(
            aligned_empty((self._based + len(self._buffer), *self.row_shape), self.dtype)
        )
        other._length = len(self)
        other._buffer[: other._length] = self.view()[:]
        return other

    def _reserve(self, length: int) -> None:
        if length <= len(self._buffer) and self._buffer.flags.writeable and not self._is_another:
            return
        capacity = max(int(length * _SLACK), _SMALLEST_CAPACITY)
        buffer = self._empty((capacity, *self.row_shape), self.dtype)
        buffer[: self._length] = self._buffer[: self._length]
        self._buffer = buffer
        self._process = os.getpid()

    @property
    def _is_another(self) -> bool:
        """Whether the memory belongs to the process that this one was forked from."""
        return self._process != os.getpid() and lies_in_file(self._buffer)
