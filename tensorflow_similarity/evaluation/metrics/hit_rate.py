"""Hit rate: is anything relevant among the first k?"""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["hit_rate_at_k"]


def hit_rate_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """1 if a relevant key is among the first `k`, else 0.

    Much of the metric-learning literature calls it Recall@K; face recognition calls it
    rank-k accuracy, or CMC.
    """
    return np.asarray(ranking.top(k).any(axis=1), np.float64)
