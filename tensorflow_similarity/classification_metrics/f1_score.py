"""F1 score."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.classification_metrics.classification_metric import (
    ClassificationMetric,
    ratio,
)

__all__ = ["F1Score"]


class F1Score(ClassificationMetric):
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN).

    Args:
        name: What results call it.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import F1Score

    F1Score().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.667
    ```
    """

    def __init__(self, name: str = "f1") -> None:
        super().__init__(name=name, canonical_name="f1_score")

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        return ratio(2 * np.asarray(tp), 2 * np.asarray(tp) + np.asarray(fp) + np.asarray(fn))
