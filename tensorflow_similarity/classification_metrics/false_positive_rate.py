"""False positive rate."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.classification_metrics.classification_metric import (
    ClassificationMetric,
    ratio,
)

__all__ = ["FalsePositiveRate"]


class FalsePositiveRate(ClassificationMetric):
    """FP / (FP + TN): of the queries whose match is wrong, the share accepted. Less is better.

    Args:
        name: What results call it.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import FalsePositiveRate

    FalsePositiveRate().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.333
    ```
    """

    def __init__(self, name: str = "fpr") -> None:
        super().__init__(name=name, canonical_name="false_positive_rate", maximize=False)

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        return ratio(fp, np.asarray(fp) + np.asarray(tn))
