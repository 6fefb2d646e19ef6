"""Precision: how many of the first keys are relevant?"""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["precision_at_k", "r_precision"]


def precision_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Relevant keys among the first `k`, divided by `k`.

    The divisor is `k` even if the gallery, or the number of relevant keys, is smaller.
    """
    return ranking.top(k).sum(axis=1) / k


def r_precision(ranking: Ranking) -> np.ndarray:
    """Relevant keys among the first R, divided by R: precision@R, and recall@R."""
    within_r = np.arange(ranking.relevance.shape[1]) < ranking.relevant[:, None]
    return (ranking.relevance & within_r).sum(axis=1) / ranking.relevant
