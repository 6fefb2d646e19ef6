"""The semi-hard sums of queries with many positives, by NumPy."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.mining.sorting import on_all_cores, sortable_bits

__all__ = ["semi_hard_on_host"]

# Rows taken together: their keys fit the cache.
_ROWS = 16
# The bit of a place whose key is no negative: above every place, below the distance.
_OTHER = 1 << 30


def semi_hard_on_host(
    distances: np.ndarray, positives: np.ndarray, negatives: np.ndarray, margin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `triplet_sums.semi_hard_hinge` returns, where NumPy can be called.

    A row is sorted once, its negatives before the others of the same distance. So the negative
    that stands next behind a positive is the nearest that is strictly farther: nothing is searched.

    Args:
        distances: Float `[queries, keys]`.
        positives: Bool `[queries, keys]`.
        negatives: Bool `[queries, keys]`.
        margin: The margin, a scalar of the type of the distances.
    """
    totals = np.zeros(len(distances), distances.dtype)
    derivative = np.zeros_like(distances)

    def part(rows: slice) -> None:
        sort = _Sort(distances.shape[1], distances.dtype)
        for begin in range(rows.start, rows.stop, _ROWS):
            these = slice(begin, min(begin + _ROWS, rows.stop))
            totals[these] = _semi_hard_rows(
                sort,
                distances[these],
                positives[these],
                negatives[these],
                margin,
                derivative[these],
            )

    if distances.size:
        on_all_cores(part, len(distances))
    return totals, derivative


class _Sort:
    """Sorts some rows at a time, in arrays that it keeps: new ones would cost as much as the sort.

    Args:
        keys: The length of a row.
        dtype: Of the distances.
    """

    def __init__(self, keys: int, dtype: np.dtype) -> None:
        self._places = np.arange(keys, dtype=np.int32)
        shape = (_ROWS, keys)
        if dtype == np.float32:
            self._values: np.ndarray = np.empty(shape, np.float32)
            self._low: np.ndarray = np.empty(shape, np.int32)
            self._keys: np.ndarray = np.empty(shape, np.int64)
            self._is_other: np.ndarray = np.empty(shape, np.bool_)

    def __call__(self, distances: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, ...]:
        """Places in ascending order, and which of the sorted keys are no negatives."""
        if distances.dtype != np.float32:
            order = np.lexsort((~negatives, distances), axis=1)
            return order, ~np.take_along_axis(negatives, order, axis=1)
        rows = len(distances)
        values, low = self._values[:rows], self._low[:rows]
        keys, is_other = self._keys[:rows], self._is_other[:rows]
        np.add(distances, 0, out=values)  # -0 equals 0, but its bits do not.
        keys[...] = sortable_bits(values)
        np.left_shift(keys, 32, out=keys)
        np.multiply(negatives, np.int32(-_OTHER), out=low)
        low += self._places
        low += _OTHER
        keys |= low
        keys.sort(axis=1)
        np.copyto(low, keys, casting="unsafe")  # The low half.
        np.greater_equal(low, _OTHER, out=is_other)
        low &= _OTHER - 1
        return low, is_other


def _semi_hard_rows(
    sort: _Sort,
    distances: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray,
    margin: np.ndarray,
    derivative: np.ndarray,
) -> np.ndarray:
    """The sums of some queries; `derivative`, all zeros, is filled."""
    queries, keys = distances.shape
    order, is_other = sort(distances, negatives)
    others = np.flatnonzero(is_other)
    if not others.size:
        return np.zeros(queries, distances.dtype)
    # Others side by side have the same negative behind them.
    rows = others // keys
    begins = np.flatnonzero(np.diff(others, prepend=-2) + np.diff(rows, prepend=0) > 1)
    lengths = np.diff(begins, append=others.size)
    behind, row = others[begins] + lengths, rows[begins]
    # The farthest negative of the row where none is farther.
    last = np.arange(1, queries + 1) * keys - 1 - np.argmin(is_other[:, ::-1], axis=1)
    behind = np.where(behind < (row + 1) * keys, behind, last[row])

    # From places in sorted rows to those in the matrix.
    order, values, slopes = order.ravel(), distances.ravel(), derivative.ravel()
    others, behind = order[others] + rows * keys, order[behind] + row * keys
    # A row without a negative has infinity here, and gaps below 0.
    far = np.where(negatives.ravel()[behind], values[behind], np.inf)
    with np.errstate(invalid="ignore"):
        gaps = margin + values[others] - np.repeat(far, lengths)
        active = positives.ravel()[others] & (gaps > 0)
    slopes[others] = active
    np.subtract.at(slopes, behind, np.add.reduceat(active, begins, dtype=slopes.dtype))
    sums = np.bincount(rows, np.where(active, gaps, 0), queries)
    return sums.astype(distances.dtype)
