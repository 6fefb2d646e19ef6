"""How embeddings are stored: as they came, or in two bytes or one per number.

Whatever the storage, an embedding is what is stored of it: distances are those
to the stored values, and these are what comes back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity.index.columns import Column, RowArray

__all__ = ["STORAGES", "EncodedRows", "VectorColumn"]

#: Names of storages, and what they keep of a number.
STORAGES = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
_LARGEST_INT8 = 127
# Rows encoded at a time.
_BLOCK = 1 << 12
# The largest of a row becomes a number up to 2**15, just below the largest of float16,
# so that numbers 2**29 times smaller keep all their bits.
_EXPONENT_FLOAT16 = 15
_SMALLEST_EXPONENT = -126  # of a float32 with all its bits


class EncodedRows:
    """Rows in fewer bytes, read as float32: `codes[i] * scales[i]`.

    Attributes:
        codes: float16 or int8 `[n, dim]`.
        scales: float32 `[n]`.
    """

    def __init__(self, codes: RowArray, scales: np.ndarray) -> None:
        self.codes = codes
        self.scales = scales
        self.shape = codes.shape

    @classmethod
    def of(cls, rows: np.ndarray, storage: str) -> EncodedRows:
        """Encodes float32 rows.

        Each row has its own scale: a power of two for float16, so that numbers
        of any size keep 11 bits; its largest number for int8.
        """
        largest = np.abs(rows).max(axis=1, initial=0)
        if storage == "float16":
            exponents = np.maximum(np.frexp(largest)[1] - _EXPONENT_FLOAT16, _SMALLEST_EXPONENT)
            scales = np.ldexp(np.float32(1), exponents)
            return cls((rows / scales[:, None]).astype(np.float16), scales)
        scales = largest / np.float32(_LARGEST_INT8)
        codes = np.rint(rows / np.where(scales > 0, scales, 1)[:, None])
        # A scale that is itself rounded may put the largest one further out.
        return cls(np.clip(codes, -_LARGEST_INT8, _LARGEST_INT8).astype(np.int8), scales)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes

    def __getitem__(self, key: Any) -> np.ndarray:
        return _decoded(self.codes[key], self.scales[key])

    def take(self, indices: Any, axis: int = 0) -> np.ndarray:
        """As that of an array, for the first axis."""
        return _decoded(self.codes.take(indices, axis), self.scales.take(indices))

    def taken(self, rows: np.ndarray) -> EncodedRows:
        """Some of the rows, encoded as they are."""
        return EncodedRows(self.codes[rows], self.scales[rows])


def _decoded(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    if codes.dtype == np.float16:
        # The bits of a finite half lie in those of a float32 but for the bias of the
        # exponent. Several times as fast as NumPy's conversion.
        bits = codes.view(np.int16).astype(np.int32)
        bits <<= 13
        bits &= ~0x70000000
        rows = bits.view(np.float32)
        rows *= np.float32(2.0**112)
    else:
        rows = codes.astype(np.float32)
    rows *= scales[..., None]
    return rows


class VectorColumn:
    """Embeddings that grow, in one of the storages.

    Args:
        codes: The first rows, as they are stored.
        scales: Their scales; None for float32, which has none.
    """

    def __init__(self, codes: np.ndarray, scales: np.ndarray | None = None) -> None:
        self._codes = Column(codes)
        self._scales = None if scales is None else Column(scales)

    @classmethod
    def empty(cls, embedding_size: int, storage: str) -> VectorColumn:
        """A column without rows."""
        scales = None if storage == "float32" else np.empty(0, np.float32)
        return cls(np.empty((0, embedding_size), STORAGES[storage]), scales)

    @classmethod
    def of(cls, rows: Any) -> VectorColumn:
        """A column that holds rows as they are, without a copy."""
        if isinstance(rows, EncodedRows):
            return cls(rows.codes[:], rows.scales)
        return cls(rows)

    @property
    def storage(self) -> str:
        """The name of the storage."""
        return self._codes.dtype.name

    def append(self, rows: Any) -> None:
        """Adds float32 rows, or rows that are encoded already."""
        if self._scales is None:
            self._codes.append(rows[:])
            return
        if isinstance(rows, EncodedRows):
            self._codes.append(rows.codes[:])
            self._scales.append(rows.scales)
            return
        for start in range(0, len(rows), _BLOCK):
            part = EncodedRows.of(rows[start : start + _BLOCK], self.storage)
            self._codes.append(part.codes[:])
            self._scales.append(part.scales)

    def truncate(self, length: int) -> None:
        """As `Column.truncate`."""
        self._codes.truncate(length)
        if self._scales is not None:
            self._scales.truncate(length)

    def view(self) -> Any:
        """The rows so far, without a copy, read as float32."""
        codes = self._codes.view()
        return codes if self._scales is None else EncodedRows(codes, self._scales.view())
