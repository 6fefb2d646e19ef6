"""Average precision, cut off at R or at k."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["map_at_k", "map_at_r", "sum_of_precisions"]


def sum_of_precisions(relevance: np.ndarray) -> np.ndarray:
    """Sum of precision@i over the ranks i that hold a relevant key, `[queries]`."""
    hits = np.cumsum(relevance, axis=1, dtype=np.int32)
    hits *= relevance
    return hits @ (1.0 / np.arange(1, relevance.shape[1] + 1))


def map_at_r(ranking: Ranking) -> np.ndarray:
    """Sum of precision@i over the relevant ranks i <= R, divided by R.

    It is 1 exactly if the R nearest keys are the R relevant ones. Unlike r_precision, it rewards
    a good order.

    Reference:
        Musgrave et al., *A Metric Learning Reality Check*, ECCV 2020,
        https://arxiv.org/abs/2003.08505
    """
    within_r = np.arange(ranking.relevance.shape[1]) < ranking.relevant[:, None]
    return sum_of_precisions(ranking.relevance & within_r) / ranking.relevant


def map_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """Sum of precision@i over the relevant ranks i <= k, divided by min(k, R).

    Others divide by R (then no ranking reaches 1 if k < R) or by the number of hits (which
    rewards missing some), see the page *Evaluation*.
    """
    return sum_of_precisions(ranking.top(k)) / np.minimum(k, ranking.relevant)
