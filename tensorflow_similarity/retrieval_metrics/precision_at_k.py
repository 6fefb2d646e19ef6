"""PrecisionAtK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.classification_metrics.classification_metric import ratio
from tensorflow_similarity.evaluation.metrics import Ranking, precision_at_k
from tensorflow_similarity.retrieval_metrics.class_sizes import MetricWithClassSizes, within

__all__ = ["PrecisionAtK"]


class PrecisionAtK(MetricWithClassSizes):
    """Matches among the first k neighbours, divided by k.

    With `clip_at_r`, matches among the first R divided by R, the number of indexed
    examples of the class: R-precision, if k is at least R.

    Args:
        r: Class id -> number of indexed examples; needed with `clip_at_r`.
        clip_at_r: Whether to look at the first R neighbours only, and divide by R.
            A query whose class has no example (but itself) is 0.
        name: What results call it; `@k` is appended, but for `clip_at_r`.
        **kwargs: `k`, `distance_threshold`, `average`, `drop_closest_lookup` of
            `RetrievalMetric`.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import PrecisionAtK

    metric = PrecisionAtK(k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [0, 0]])  # 0.25
    ```
    """

    def __init__(
        self,
        r: Mapping[int, int] | None = None,
        clip_at_r: bool = False,
        name: str = "precision",
        **kwargs: Any,
    ) -> None:
        super().__init__(r, clip_at_r, name=name, **{"canonical_name": "precision@k", **kwargs})

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        if not self.clip_at_r or self.r is None:
            return precision_at_k(Ranking(matches, matches.sum(axis=1)), self.k)
        sizes = self.sizes(query_labels)
        return ratio(within(matches, sizes).sum(axis=1), sizes)
