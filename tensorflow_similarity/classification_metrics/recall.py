"""Recall."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.classification_metrics.classification_metric import (
    ClassificationMetric,
    ratio,
)

__all__ = ["Recall"]


class Recall(ClassificationMetric):
    """TP / (TP + FN): of the queries whose match is right, the share accepted.

    Args:
        name: What results call it.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import Recall

    Recall().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.6
    ```
    """

    def __init__(self, name: str = "recall") -> None:
        super().__init__(name=name, canonical_name="recall")

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        return ratio(tp, np.asarray(tp) + np.asarray(fn))
