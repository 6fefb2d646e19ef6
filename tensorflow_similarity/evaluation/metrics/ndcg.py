"""Normalised discounted cumulative gain, with binary or graded gains."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["discounts", "ndcg_at_k"]


def discounts(k: int) -> np.ndarray:
    """1 / log2(rank + 1) for the ranks 1 to `k`."""
    return 1.0 / np.log2(np.arange(2, k + 2))


def ndcg_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Sum of gain / log2(i + 1) over the ranks i <= k, divided by the best possible.

    The gain of a relevant key is 1, or its grade if relevance is graded: pass
    `2.0 ** grade - 1` as relevance for the exponential gain used in web search. The best
    possible ranking has the largest gains first.

    Reference:
        Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR
        techniques*, ACM TOIS 2002.
    """
    weights = discounts(k)
    if ranking.gains is not None and ranking.best_gains is not None:
        gains, best_gains = ranking.gains[:, :k], ranking.best_gains[:, :k]
        return (gains @ weights[: gains.shape[1]]) / (best_gains @ weights[: best_gains.shape[1]])
    top = ranking.top(k)
    best = np.cumsum(weights)[np.minimum(k, ranking.relevant) - 1]
    return top @ weights[: top.shape[1]] / best
