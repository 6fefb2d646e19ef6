"""Losses that also take ready pairwise values, as TensorFlow Addons had them."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.losses.per_example_loss import wide_float

__all__ = ["PairwiseValuesLoss"]


class PairwiseValuesLoss(MetricLoss):
    """Base of losses for which `distance=None` means: `y_pred` is the pairwise values.

    A subclass writes `row_loss` for embeddings, `values_loss` for pairwise
    values, and `checked_values` for what these must look like.
    """

    def __init__(self, distance: Any = None, **kwargs: Any) -> None:
        super().__init__(distance=distance, **kwargs)

    def values_loss(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example from pairwise values: `[batch]`."""
        raise NotImplementedError(f"{type(self).__name__} must implement `values_loss`.")

    def checked_values(self, y_pred: Any) -> Any:
        """Pairwise values in the shape that `values_loss` expects, or a ValueError."""
        raise NotImplementedError(f"{type(self).__name__} must implement `checked_values`.")

    def checked_predictions(self, y_pred: Any) -> Any:
        if self.distance is not None:
            return super().checked_predictions(y_pred)
        return self.checked_values(wide_float(y_pred))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if self.distance is None:
            return self.values_loss(y_true, y_pred)
        return super().call(y_true, y_pred)
