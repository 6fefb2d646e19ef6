"""RecallAtK."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity.evaluation.metrics import Ranking, hit_rate_at_k
from tensorflow_similarity.retrieval_metrics.retrieval_metric import RetrievalMetric

__all__ = ["RecallAtK"]


class RecallAtK(RetrievalMetric):
    """1 where any of the first k neighbours matches, else 0.

    The metric-learning literature's Recall@K, which is `hit_rate@k` in
    `tensorflow_similarity.evaluation`; not the share of relevant examples found.

    Args:
        name: What results call it; `@k` is appended.
        **kwargs: `k`, `distance_threshold`, `average`, `drop_closest_lookup` of
            `RetrievalMetric`.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import RecallAtK

    metric = RecallAtK(k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [0, 0]])  # 0.5
    ```
    """

    def __init__(self, name: str = "recall", **kwargs: Any) -> None:
        super().__init__(name=name, **{"canonical_name": "recall@k", **kwargs})

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        return hit_rate_at_k(Ranking(matches, matches.sum(axis=1)), self.k)
