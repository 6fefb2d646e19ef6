"""Recall: how much of what is relevant came up?"""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["recall_at_k"]


def recall_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Relevant keys among the first `k`, divided by R, all that there are.

    At most k / R, hence below 1 for a perfect ranking wherever k < R.
    """
    return ranking.top(k).sum(axis=1) / ranking.relevant
