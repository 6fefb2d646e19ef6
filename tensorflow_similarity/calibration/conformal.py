"""A distribution-free threshold for rejecting queries of unknown classes."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["conformal_threshold", "queries_needed"]


def conformal_threshold(match_distances: np.ndarray, miss_rate: float) -> float | None:
    """The split-conformal threshold of the match distances of known queries.

    The ceil((n + 1) (1 - miss_rate))-th smallest of n distances. A new query, exchangeable with
    these, is beyond it with probability at most `miss_rate` (and at least
    `miss_rate - 1 / (n + 1)` if no two distances are equal), on average over calibration sets.

    Args:
        match_distances: float64 `[n]`, of queries whose class is in the index.
        miss_rate: Between 0 and 1.

    Returns:
        The threshold; None if n is too small, or the threshold is infinite.

    Reference:
        Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World*, 2005;
        Papadopoulos et al., *Inductive confidence machines for regression*, 2002.
    """
    n = len(match_distances)
    # Rounding must not push an integer product up to the next integer.
    place = math.ceil(round((n + 1) * (1 - miss_rate), 9))
    if place > n:
        return None
    threshold = float(np.sort(match_distances)[max(place, 1) - 1])
    return threshold if math.isfinite(threshold) else None


def queries_needed(miss_rate: float) -> int:
    """The smallest number of queries for which there is a threshold."""
    return math.ceil(round(1 / miss_rate - 1, 9))
