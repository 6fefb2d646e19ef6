"""Normalised discounted cumulative gain, with binary gains."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["discounts", "ndcg_at_k"]


def discounts(k: int) -> np.ndarray:
    """1 / log2(rank + 1) for the ranks 1 to `k`."""
    return 1.0 / np.log2(np.arange(2, k + 2))


def ndcg_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Sum of 1 / log2(i + 1) over the relevant ranks i <= k, divided by the best possible.

    The best possible has the first min(k, R) ranks relevant.

    Reference:
        Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR
        techniques*, ACM TOIS 2002.
    """
    weights = discounts(k)
    top = ranking.top(k)
    best = np.cumsum(weights)[np.minimum(k, ranking.relevant) - 1]
    return top @ weights[: top.shape[1]] / best
