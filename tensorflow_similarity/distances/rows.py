"""Lengths of rows, and rows of length 1, as the cosine distance takes them: NumPy, for the host."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["NEARLY_ONE", "SMALLEST_ROW", "all_unit", "inverse_norms", "norms", "unit_rows"]

#: A row whose length is at most this counts as zero: 1 / 1e-30 is still a finite float32, so that
#: the gradient of everything above stays finite.
SMALLEST_ROW = 1e-30
#: Rows this close to length 1 are taken as they are for ranking.
NEARLY_ONE = 1e-6
# Rows looked at together.
_BLOCK = 1 << 14


def norms(rows: np.ndarray) -> np.ndarray:
    """The length of each row, float64 `[n]`."""
    # In float64 no square of a float32 overflows or vanishes.
    return np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))


def inverse_norms(rows: np.ndarray) -> np.ndarray:
    """What brings each row to length 1: float32 `[n]`.

    1 / length, but 0 for rows of zeros, and 1 for rows that are as good as of
    length 1, which are then exactly what they were.
    """
    if len(rows) == 1:
        row = rows[0].astype(np.float64)
        length = math.sqrt(row @ row)
        factor = 0 if length <= SMALLEST_ROW else 1 / length
        return np.array([1 if abs(factor - 1) < NEARLY_ONE else factor], np.float32)
    lengths = norms(rows)
    zero = lengths <= SMALLEST_ROW
    factors = 1 / np.where(zero, 1, lengths)
    factors[np.abs(factors - 1) < NEARLY_ONE] = 1
    return np.where(zero, 0, factors).astype(np.float32)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """The rows at length 1, rows of zeros as they are: float32 `[n, dim]`.

    The rows themselves, not a copy, where all are as good as of that length.
    """
    factors = inverse_norms(rows)
    one = factors[0] == 1 if len(factors) == 1 else (factors == 1).all()
    return rows if one else rows * factors[:, None]


def all_unit(rows: np.ndarray) -> bool:
    """Whether `unit_rows` takes all of the rows as they are."""
    blocks = (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))
    return all(bool((inverse_norms(block) == 1).all()) for block in blocks)
