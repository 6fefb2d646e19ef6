"""Negative predictive value."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.classification_metrics.classification_metric import (
    ClassificationMetric,
    ratio,
)

__all__ = ["NegativePredictiveValue"]


class NegativePredictiveValue(ClassificationMetric):
    """TN / (TN + FN): of the queries rejected, the share whose match was wrong.

    Args:
        name: What results call it.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import NegativePredictiveValue

    NegativePredictiveValue().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.5
    ```
    """

    def __init__(self, name: str = "npv") -> None:
        super().__init__(name=name, canonical_name="negative_predictive_value")

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        return ratio(tn, np.asarray(tn) + np.asarray(fn))
