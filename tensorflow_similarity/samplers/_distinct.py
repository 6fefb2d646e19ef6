"""Distinct integers drawn at random, many rows at a time."""

from __future__ import annotations

import numpy as np

__all__ = ["distinct"]

# Rows of integers below more than this are drawn one by one, where they cannot be drawn at once.
_WIDEST = 512


def distinct(rng: np.random.Generator, below: np.ndarray, count: int) -> np.ndarray:
    """`count` integers below each bound, in random order: distinct ones, if there are so many.

    Rows are drawn independently, and drawn again if two values collide. Where collisions would be
    frequent, all integers are shuffled instead. Where there are too few, they repeat as evenly
    as possible.

    Args:
        rng: The source of randomness.
        below: Integers `[rows]`, at least 1.
        count: Integers in a row.

    Returns:
        int64 `[rows, count]`.
    """
    found = _below(rng, below, count)
    if count == 1:
        return found
    crowded = 2 * below < count * count
    if crowded.any():
        narrow = crowded & (below <= _WIDEST)
        if narrow.any():
            found[narrow] = _shuffled(rng, below[narrow], count)
        for row in np.flatnonzero(crowded & ~narrow):
            bound = int(below[row])
            one = rng.choice(bound, min(count, bound), replace=False)
            found[row] = one[np.arange(count) % bound]
        rows = np.flatnonzero(~crowded)
        drawn = found[rows]
    else:
        rows, drawn = np.arange(len(below)), found
    while len(rows):
        ordered = np.sort(drawn, axis=1)
        rows = rows[(ordered[:, 1:] == ordered[:, :-1]).any(axis=1)]
        drawn = _below(rng, below[rows], count)
        found[rows] = drawn
    return found


def _shuffled(rng: np.random.Generator, below: np.ndarray, count: int) -> np.ndarray:
    width = max(count, int(below.max()))
    keys = np.where(np.arange(width) < below[:, None], rng.random((len(below), width)), np.inf)
    order = np.argsort(keys, axis=1)
    return np.take_along_axis(order, np.arange(count) % below[:, None], axis=1)


def _below(rng: np.random.Generator, below: np.ndarray, count: int) -> np.ndarray:
    # Several times as fast as `rng.integers` of many bounds, and as even: of 2**53 numbers, each
    # integer has the same share to within one. The product rounds to less than the bound.
    return (rng.random((len(below), count)) * below[:, None]).astype(np.int64)
