"""Base of the metrics of open-set classification by nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensorflow_similarity._types import ArrayLike, Tensor

__all__ = ["ClassificationMetric", "ratio"]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """`numerator / denominator` in float64, and 0 where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    )
    return np.divide(numerator, denominator, out=np.zeros(numerator.shape), where=denominator != 0)


class ClassificationMetric:
    """A value from the outcomes of matching queries at distance thresholds.

    A query is accepted when its match is at or below the threshold. Its match is
    right when it has the query's label. So there are true positives (accepted,
    right), false positives (accepted, wrong), false negatives (rejected, though
    the match was right) and true negatives (rejected, and the match was wrong).

    Args:
        name: What results call it.
        canonical_name: The metric's own name.
        maximize: Whether more is better. If not, a target is an upper limit.
        increasing: Whether it tends to grow with the threshold. Calibration then
            takes the smallest threshold that reaches a target, else the largest.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import ClassificationMetric

    class Coverage(ClassificationMetric):
        def __init__(self, name="coverage"):
            super().__init__(name=name, canonical_name="coverage")

        def compute(self, tp, fp, tn, fn, count):
            return (tp + fp) / count

    Coverage().compute(tp=3, fp=1, tn=2, fn=2, count=8)  # 0.5
    ```
    """

    #: Whether it is made of match sets, in place of the outcomes of single matches.
    needs_sets = False

    def __init__(
        self,
        name: str = "",
        canonical_name: str = "",
        maximize: bool = True,
        increasing: bool = True,
    ) -> None:
        self.name = name
        self.canonical_name = canonical_name
        self.increasing = increasing
        self.maximize = maximize

    def compute(self, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor, count: int) -> np.ndarray:
        """The metric at each threshold.

        Args:
            tp: True positives, a number or `[thresholds]`.
            fp: False positives.
            tn: True negatives.
            fn: False negatives.
            count: Number of queries.

        Returns:
            float64, of the shape of the counts.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `compute`.")

    def of_sets(self, row_f1: np.ndarray) -> np.ndarray:
        """The metric at each threshold, from the row-wise F1 of match sets there.

        Args:
            row_f1: float64 `[thresholds]`.
        """
        raise NotImplementedError(f"{type(self).__name__} is not made of match sets.")

    def get_config(self) -> dict[str, Any]:
        """Name, canonical name and direction."""
        return {
            "name": self.name,
            "canonical_name": self.canonical_name,
            "increasing": self.increasing,
            "maximize": self.maximize,
        }

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"
