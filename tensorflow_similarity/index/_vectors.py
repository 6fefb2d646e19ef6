"""How embeddings are stored: unchanged, or in two bytes or one per number.

Whatever the storage, an embedding is what is stored of it: distances are those
to the stored values, and these are what comes back.

In fewer bytes, a row is stored as it is or relative to a frame, whichever loses
less: a frame has a middle and a spread for each dimension, learnt of the records.
Embeddings that share a large offset, or whose dimensions have very different
scales, would otherwise lose in one dimension what tells them apart in the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity.index._columns import Column, RowArray

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

# A frame is learnt of so many rows at most, and its spreads of no fewer than these.
_FIT_ROWS = 256
_FEWEST_FOR_SPREADS = 64
# Where rows come a few at a time, frames are learnt again at so many times the rows.
_REFIT = 8
_MOST_FRAMES = 16
# A frame is used where the expected squared error is less than this share of that without.
_WORTH = 0.5
# A frame is added where it is of use to this share of the rows.
_USED_BY = 0.1
# For float16, a dimension is far from 0 at so many times its spread.
_FAR = 4
# Spreads differ by no more than this: what is smaller hardly counts in a distance.
_SMALLEST_SPREAD = 2.0**-10


class EncodedRows:
    """Encoded rows, read as float32: `codes[i] * scales[i]`, possibly relative to a frame.

    Attributes:
        codes: float16 or int8 `[n, dim]`.
        scales: float32 `[n]`.
        frames: float32 `[m, 2, dim]`: the middle and the spread of each dimension; None
            where there are none.
        frame: uint8 `[n]`: 0 for rows that are in none, else 1 + the number of theirs.
    """

    def __init__(
        self,
        codes: RowArray,
        scales: np.ndarray,
        frame: np.ndarray | None = None,
        frames: np.ndarray | None = None,
    ) -> None:
        self.codes = codes
        self.scales = scales
        self.frame = frame
        self.frames = frames
        self.shape = codes.shape

    @classmethod
    def of(cls, rows: np.ndarray, storage: str, frames: np.ndarray | None = None) -> EncodedRows:
        """Encodes float32 rows.

        Each row has its own scale: a power of two for float16, so that numbers
        of any size keep 11 bits; its largest number for int8.

        Args:
            rows: `[n, dim]`.
            storage: `"float16"` or `"int8"`.
            frames: Frames to choose from.
        """
        codes, scales = _encoded(rows, storage)
        if frames is None:
            return cls(codes, scales)
        frame, least = np.zeros(len(rows), np.uint8), np.full(len(rows), _WORTH, np.float32)
        for number, (middle, spread) in enumerate(frames, 1):
            share = _share_of_error(rows, middle, spread, storage)
            better = np.flatnonzero(share < least)
            if not len(better):
                continue
            within = (rows[better] - middle) / spread
            codes[better], scales[better] = _encoded(within, storage)
            frame[better], least[better] = number, share[better]
        return cls(codes, scales, frame, frames)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        frames = 0 if self.frame is None else self.frame.nbytes
        return self.codes.nbytes + self.scales.nbytes + frames

    def __getitem__(self, key: Any) -> np.ndarray:
        return self._decoded(
            self.codes[key], self.scales[key], None if self.frame is None else self.frame[key]
        )

    def take(self, indices: Any, axis: int = 0) -> np.ndarray:
        """As that of an array, for the first axis."""
        return self._decoded(
            self.codes.take(indices, axis),
            self.scales.take(indices),
            None if self.frame is None else self.frame.take(indices),
        )

    def taken(self, rows: Any) -> EncodedRows:
        """Some of the rows, still encoded."""
        frame = None if self.frame is None else self.frame[rows]
        return EncodedRows(self.codes[rows], self.scales[rows], frame, self.frames)

    def steps(self) -> np.ndarray:
        """The rounding step of each number, in the shape of the rows."""
        codes = np.asarray(self.codes[:])
        if codes.dtype == np.float16:
            steps = np.spacing(np.abs(codes)).astype(np.float32)
        else:
            steps = np.ones(codes.shape, np.float32)
        steps *= self.scales[..., None]
        if self.frame is not None and self.frames is not None:
            for number in np.unique(self.frame):
                if number:
                    steps[self.frame == number] *= self.frames[number - 1, 1]
        return steps

    def _decoded(self, codes: Any, scales: Any, frame: Any) -> np.ndarray:
        rows = _scaled(np.asarray(codes), scales)
        if frame is None or self.frames is None or not np.size(frame):
            return rows
        # Mostly, all of them are in the same one.
        numbers = [frame.min()] if frame.min() == frame.max() else np.unique(frame)
        for number in numbers:
            if not number:
                continue
            middle, spread = self.frames[number - 1]
            if len(numbers) == 1:
                rows *= spread
                rows += middle
            else:
                own = frame == number
                rows[own] = rows[own] * spread + middle
        return rows


def _encoded(rows: np.ndarray, storage: str) -> tuple[np.ndarray, np.ndarray]:
    """Codes and scales of rows."""
    largest = np.abs(rows).max(axis=1, initial=0)
    if storage == "float16":
        exponents = np.maximum(np.frexp(largest)[1] - _EXPONENT_FLOAT16, _SMALLEST_EXPONENT)
        scales = np.ldexp(np.float32(1), exponents)
        return (rows / scales[:, None]).astype(np.float16), scales
    scales = largest / np.float32(_LARGEST_INT8)
    codes = np.rint(rows / np.where(scales > 0, scales, 1)[:, None])
    # A scale that is itself rounded may put the largest one further out.
    return np.clip(codes, -_LARGEST_INT8, _LARGEST_INT8).astype(np.int8), scales


def _scaled(codes: np.ndarray, scales: Any) -> np.ndarray:
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


def _share_of_error(
    rows: np.ndarray, middle: np.ndarray, spread: np.ndarray, storage: str
) -> np.ndarray:
    """The squared error to expect in a frame, as a share of that without: `[n]`.

    Infinite where a number might be stored less exactly than without.
    """
    largest = np.abs(rows).max(axis=1, initial=0)
    zeros = largest == 0  # these lose nothing
    largest[zeros] = 1
    with np.errstate(over="ignore"):  # where a row is tiny beside the middle
        unit = rows / largest[:, None]
        within = unit - middle / largest[:, None]
        if storage == "float16":
            share = np.vecdot(within, within) / np.maximum(np.vecdot(unit, unit), 1e-30)
            worse = ((middle != 0) & (np.abs(within) > np.abs(unit) / 2)).any(axis=1)
        else:
            step = np.abs(within / spread).max(axis=1, initial=0)  # in steps without a frame
            share = step**2 * np.float32(np.mean(spread**2, dtype=np.float64))
            worse = step > 1
    share[worse | zeros] = np.inf
    return share


def _frame_of(rows: np.ndarray, storage: str) -> np.ndarray:
    """Middle and spread of the rows in each dimension: float32 `[2, dim]`."""
    middle = np.median(rows, axis=0)
    away = np.abs(rows - middle)
    if storage == "float16":
        # Halves are finer near 0: only what all rows are far from it by is taken off.
        middle = np.where(np.abs(middle) > _FAR * np.quantile(away, 0.9, axis=0), middle, 0)
    if storage == "float16" or len(rows) < _FEWEST_FOR_SPREADS:
        return np.stack([middle, np.ones_like(middle)]).astype(np.float32)
    # Both are robust to outliers.
    spread = np.quantile(away, 0.9, axis=0)
    spread = np.where(spread > 0, spread, away.mean(axis=0))
    most = spread.max(initial=0)
    if most == 0:
        return np.stack([middle, np.ones_like(middle)]).astype(np.float32)
    # A dimension that is constant so far may vary in later rows.
    spread = np.where(spread > 0, spread / most, 1)
    return np.stack([middle, np.maximum(spread, _SMALLEST_SPREAD)]).astype(np.float32)


class VectorColumn:
    """A growing column of embeddings, in one of the storages.

    Args:
        codes: The first rows, as they are stored.
        scales: Their scales; None for float32, which has none.
        frame: Their frames, see `EncodedRows`.
        frames: The frames.
    """

    def __init__(
        self,
        codes: np.ndarray,
        scales: np.ndarray | None = None,
        frame: np.ndarray | None = None,
        frames: np.ndarray | None = None,
    ) -> None:
        self._codes = Column(codes)
        self._scales = None if scales is None else Column(scales)
        self._frame = None if frame is None else Column(frame)
        self._frames = frames
        self._fitted = len(codes)

    @classmethod
    def empty(cls, embedding_size: int, storage: str) -> VectorColumn:
        """A column without rows."""
        scales = None if storage == "float32" else np.empty(0, np.float32)
        return cls(np.empty((0, embedding_size), STORAGES[storage]), scales)

    @classmethod
    def of(cls, rows: Any) -> VectorColumn:
        """A column that uses the given rows without a copy."""
        if isinstance(rows, EncodedRows):
            return cls(rows.codes[:], rows.scales, rows.frame, rows.frames)
        return cls(rows)

    @property
    def storage(self) -> str:
        """The name of the storage."""
        return self._codes.dtype.name

    def append(self, rows: Any) -> None:
        """Adds float32 rows, or rows of this column that are encoded already."""
        if self._scales is None:
            self._codes.append(rows[:])
        elif isinstance(rows, EncodedRows):
            self._append(rows)
        else:
            for start in range(0, len(rows), _BLOCK):
                part = rows[start : start + _BLOCK]
                self._learn(part)
                self._append(EncodedRows.of(part, self.storage, self._frames))

    def _append(self, rows: EncodedRows) -> None:
        if self._frame is None and rows.frame is not None:
            self._frame = Column(np.zeros(len(self._codes), np.uint8))
        self._codes.append(rows.codes[:])
        if self._scales is not None:
            self._scales.append(rows.scales)
        if self._frame is not None:
            none = np.zeros(len(rows), np.uint8)
            self._frame.append(none if rows.frame is None else rows.frame)

    def _learn(self, rows: np.ndarray) -> None:
        """Adds a frame if one helps with the next rows, or with later ones."""
        if not len(rows):
            return
        total = len(self._codes) + len(rows)
        if len(rows) < _FEWEST_FOR_SPREADS:
            if total < _REFIT * self._fitted:
                return
            if len(self._codes):
                step = -(-len(self._codes) // _FIT_ROWS)
                rows = np.concatenate([self.view()[::step], rows])
        self._fitted = total
        rows = rows[:: -(-len(rows) // _FIT_ROWS)]
        frames = [] if self._frames is None else list(self._frames)
        least = np.full(len(rows), 1, np.float32)
        for middle, spread in frames:
            np.minimum(least, _share_of_error(rows, middle, spread, self.storage), out=least)
        left = np.full(len(rows), True)
        while len(frames) < _MOST_FRAMES:
            new = _frame_of(rows[left], self.storage)
            share = _share_of_error(rows, new[0], new[1], self.storage)
            helped = share < _WORTH * least
            if helped.mean() < _USED_BY:
                break
            if not helped[left].all():  # fitted to these alone, it helps them more
                new = _frame_of(rows[helped], self.storage)
                share = _share_of_error(rows, new[0], new[1], self.storage)
                helped = share < _WORTH * least
            frames.append(new)
            self._frames = np.stack(frames)
            # Those that it does not help may lie elsewhere together.
            left &= ~helped
            np.minimum(least, share, out=least)
            if left.mean() < _USED_BY:
                break

    def truncate(self, length: int) -> None:
        """As `Column.truncate`."""
        self._codes.truncate(length)
        if self._scales is not None:
            self._scales.truncate(length)
        if self._frame is not None:
            self._frame.truncate(length)

    def view(self) -> Any:
        """The rows so far, without a copy, read as float32."""
        codes = self._codes.view()
        if self._scales is None:
            return codes
        frame = None if self._frame is None else self._frame.view()
        return EncodedRows(codes, self._scales.view(), frame, self._frames)
