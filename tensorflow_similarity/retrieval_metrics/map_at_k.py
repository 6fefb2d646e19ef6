"""MapAtK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.classification_metrics.classification_metric import ratio
from tensorflow_similarity.evaluation.metrics.average_precision import sum_of_precisions
from tensorflow_similarity.retrieval_metrics.class_sizes import MetricWithClassSizes, within

__all__ = ["MapAtK"]


class MapAtK(MetricWithClassSizes):
    """Sum of precision@j over the matching ranks j <= k, divided by R.

    R is the number of indexed examples of the query's class. Where k < R even a
    perfect ranking is below 1: `map@k` of `tensorflow_similarity.evaluation`
    divides by min(k, R). With `clip_at_r` only the first R ranks count: MAP@R, if
    k is at least R.

    Args:
        r: Class id -> number of indexed examples. None: `k` stands in for R.
        clip_at_r: Whether to look at the first R neighbours only.
        name: What results call it; `@k` is appended, but for `clip_at_r`.
        **kwargs: `k`, `distance_threshold`, `drop_closest_lookup` of
            `RetrievalMetric`. `average` is `"micro"` always.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import MapAtK

    metric = MapAtK(r={0: 2, 1: 1}, k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [1, 0]])  # 0.625
    ```
    """

    def __init__(
        self,
        r: Mapping[int, int] | None = None,
        clip_at_r: bool = False,
        name: str = "map",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("average") == "macro":
            raise ValueError("`average` must be 'micro' for MapAtK. Received: 'macro'.")
        super().__init__(r, clip_at_r, name=name, **{"canonical_name": "map@k", **kwargs})

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        if self.r is None:
            return sum_of_precisions(matches) / self.k
        sizes = self.sizes(query_labels)
        if self.clip_at_r:
            matches = within(matches, sizes)
        return ratio(sum_of_precisions(matches), sizes)
