"""Hit rate: did anything relevant come up?"""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["hit_rate_at_k"]


def hit_rate_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """1 where a relevant key is among the first `k`, else 0.

    What much of the metric-learning literature calls Recall@K, and what
    face recognition calls rank-k accuracy or CMC.
    """
    return np.asarray(ranking.top(k).any(axis=1), np.float64)
