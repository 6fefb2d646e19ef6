"""Distances as sortable integers with a relevance bit.

A non-negative float32 sorts like its bit pattern, whose highest bit is 0. That leaves one bit
free to mark whether the pair is relevant, so that sorting the integers sorts distance and
relevance together, without permuting a second array.
"""

from __future__ import annotations

import numpy as np

__all__ = ["LAST", "LAST_EXACT", "exact_keys", "pack", "sortable_bits"]

_SIGN = np.uint32(0x80000000)
# Marks keys that are left out: greater than any distance, and not relevant.
LAST = np.uint32(0xFFFFFFFE)
LAST_EXACT = np.uint64(0xFFFFFFFFFFFFFFFE)


def sortable_bits(distances: np.ndarray) -> np.ndarray:
    """uint32 integers that sort like the float32 `distances`, including negative ones."""
    # -0.0 + 0.0 is +0.0: both zeros must map to one integer.
    bits = (distances + np.float32(0)).view(np.uint32)
    flip = (bits.view(np.int32) >> 31).view(np.uint32) | _SIGN
    return np.bitwise_xor(bits, flip, out=flip)


def pack(distances: np.ndarray) -> np.ndarray | None:
    """Turns float32 `distances` into sortable uint32 whose lowest bit is 0, in place.

    Args:
        distances: C-contiguous float32 array; its memory is the result's.

    Returns:
        The integers, or None where negative and positive distances lie so far
        apart that 31 bits cannot hold their order (`distances` is unchanged then).

    Raises:
        ValueError: If a distance is NaN.
    """
    smallest = distances.min(initial=0)
    if np.isnan(smallest):
        raise ValueError(
            "`distance` gave NaN. Expected a number for every query and key: check that it is "
            "defined for these embeddings."
        )
    bits = distances.view(np.uint32)
    if smallest >= 0:
        return np.left_shift(bits, 1, out=bits)
    ordered = sortable_bits(distances)
    base = ordered.min()
    if ordered.max() - base >= _SIGN - 1:
        return None
    np.subtract(ordered, base, out=bits)
    return np.left_shift(bits, 1, out=bits)


def exact_keys(distances: np.ndarray, relevant: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """uint64 integers that sort by distance, then by position, and end in the relevance bit.

    Args:
        distances: float32 `[rows, n]`.
        relevant: bool, broadcast to `[rows, n]`.
        positions: int64 `[n]`, which break ties.
    """
    keys = sortable_bits(distances).astype(np.uint64) << np.uint64(32)
    keys |= positions.astype(np.uint64) << np.uint64(1)
    keys |= relevant.astype(np.uint64)
    return keys
