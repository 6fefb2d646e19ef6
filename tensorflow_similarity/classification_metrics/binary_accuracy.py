"""Binary accuracy."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.classification_metrics.classification_metric import (
    ClassificationMetric,
    ratio,
)

__all__ = ["BinaryAccuracy"]


class BinaryAccuracy(ClassificationMetric):
    """TP / number of queries: the share of all queries accepted and matched right.

    Args:
        name: What results call it.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import BinaryAccuracy

    BinaryAccuracy().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.375
    ```
    """

    def __init__(self, name: str = "binary_accuracy") -> None:
        super().__init__(name=name, canonical_name="binary_accuracy")

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        return ratio(tp, count)
