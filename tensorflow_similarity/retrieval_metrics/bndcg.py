"""BNDCG."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorflow_similarity.classification_metrics.classification_metric import ratio
from tensorflow_similarity.evaluation.metrics.ndcg import discounts
from tensorflow_similarity.retrieval_metrics.retrieval_metric import RetrievalMetric

__all__ = ["BNDCG"]


class BNDCG(RetrievalMetric):
    """Binary normalised discounted cumulative gain of the first k neighbours.

    Sum of 1 / log2(j + 1) over the matching ranks j, divided by what the same
    number of matches would give at the first ranks. It judges the order of what
    was found only; `ndcg@k` of `tensorflow_similarity.evaluation` compares with
    the best that the gallery offers. A query without any match is 0.

    Args:
        name: What results call it; `@k` is appended.
        k: Number of neighbours looked at.
        distance_threshold: Neighbours farther than this are no match.
        **kwargs: `average`, `drop_closest_lookup` of `RetrievalMetric`.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import BNDCG

    metric = BNDCG(k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [1, 0]])  # 0.815
    ```
    """

    def __init__(
        self, name: str = "ndcg", k: int = 5, distance_threshold: float = math.inf, **kwargs: Any
    ) -> None:
        arguments = {"canonical_name": "ndcg@k", **kwargs}
        super().__init__(name=name, k=k, distance_threshold=distance_threshold, **arguments)

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        weights = discounts(matches.shape[1])
        ideal = np.concatenate([[0.0], np.cumsum(weights)])
        return ratio(matches @ weights, ideal[matches.sum(axis=1)])
