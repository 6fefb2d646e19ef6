"""Recall: how many of the relevant keys are among the first?"""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["recall_at_k"]


def recall_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Relevant keys among the first `k`, divided by R, the number of relevant keys.

    At most k / R, so below 1 even for a perfect ranking if k < R.
    """
    return ranking.top(k).sum(axis=1) / ranking.relevant
