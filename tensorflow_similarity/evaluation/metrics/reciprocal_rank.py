"""Reciprocal rank of the first relevant key."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity.evaluation.metrics.base import Ranking

__all__ = ["reciprocal_rank", "reciprocal_rank_at_k"]


def reciprocal_rank(ranking: Ranking) -> np.ndarray:
    """1 / rank of the nearest relevant key, at any depth."""
    if ranking.first is None:
        raise ValueError(
            "`ranking.first`, the rank of the first relevant key, is needed. Received: None."
        )
    return 1.0 / ranking.first


def reciprocal_rank_at_k(ranking: Ranking, k: int) -> np.ndarray:
    """1 / rank of the nearest relevant key, or 0 if it is not among the first `k`."""
    top = ranking.top(k)
    return np.where(top.any(axis=1), 1.0 / (top.argmax(axis=1) + 1.0), 0.0)
