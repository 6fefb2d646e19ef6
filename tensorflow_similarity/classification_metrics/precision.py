"""Precision."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.classification_metrics.classification_metric import (
    ClassificationMetric,
    ratio,
)

__all__ = ["Precision"]


class Precision(ClassificationMetric):
    """TP / (TP + FP): of the queries that are accepted, the share matched right.

    Where nothing is accepted it is 1 at the first of several thresholds, where a
    precision-recall curve starts by convention, and 0 elsewhere.

    Args:
        name: What results call it.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import Precision

    Precision().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.75
    ```
    """

    def __init__(self, name: str = "precision") -> None:
        super().__init__(name=name, canonical_name="precision", increasing=False)

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        accepted = np.asarray(tp) + np.asarray(fp)
        values = ratio(tp, accepted)
        if values.ndim and len(values) > 1 and accepted[0] == 0:
            values[0] = 1.0
        return values
