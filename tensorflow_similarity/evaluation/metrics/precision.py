"""Precision: how much of what came up is relevant?"""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["precision_at_k", "r_precision"]


def precision_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Relevant keys among the first `k`, divided by `k`.

    Also where the gallery, or the number of relevant keys, is smaller than `k`.
    """
    return ranking.top(k).sum(axis=1) / k


def r_precision(ranking: Ranking) -> np.ndarray:
    """Relevant keys among the first R, divided by R: precision@R, and recall@R."""
    within_r = np.arange(ranking.relevance.shape[1]) < ranking.relevant[:, None]
    return (ranking.relevance & within_r).sum(axis=1) / ranking.relevant
