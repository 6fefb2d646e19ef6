"""Ranked list loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.masked import masked_sum
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number
from tensorflow_similarity.mining.rows import Rows

__all__ = ["RankedListLoss"]


def _weighted_mean(excess: Any, mask: Any, temperature: float) -> Any:
    """Mean over the entries where `mask`, weighed by `exp(temperature * excess)`; else 0."""
    logits = ops.where(mask, temperature * ops.stop_gradient(excess), -float("inf"))
    top = ops.max(logits, axis=1, keepdims=True)
    weights = ops.exp(logits - ops.where(ops.isfinite(top), top, 0))
    total = ops.sum(weights, axis=1)
    return masked_sum(weights * ops.where(mask, excess, 0), mask) / ops.where(total > 0, total, 1)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class RankedListLoss(MetricLoss):
    """Ranked list loss: positives within a ball around the query, negatives outside a larger one.

    `loss = (1 - imbalance) * mean over hard p of (d(a, p) - (alpha - margin))
    + imbalance * weighted mean over hard n of (alpha - d(a, n))`.

    Hard are the positives beyond `alpha - margin` and the negatives within
    `alpha`. Each mean is weighed by `exp(T * violation)`; the weights are
    constants to the gradient. A query without a positive is still pushed from
    its negatives, and the other way round.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: The width between the two balls, in units of the distance.
        Tn: The temperature T of the negatives: how much more the hard ones weigh.
        imbalance: The weight of the negatives, from 0 to 1.
        alpha: The radius of the larger ball; None for `1 + margin / 2`.
        Tp: The temperature T of the positives. 0, the paper's, weighs all alike.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, normalised for the default radius.

    Requirements: two classes in a batch, and at least two examples of one.

    Recommended: the defaults on unit vectors: the paper's simpler variant.

    Relations: `MarginLoss` has the same two boundaries, and weighs all alike.

    Raises:
        ValueError: If `imbalance` is not from 0 to 1.

    Example:

    ```python
    from tensorflow_similarity.losses import RankedListLoss

    RankedListLoss()([0, 0, 1], [[0.0], [1.0], [2.0]])  # (0.1 + 0.2 + 0.1) / 3
    ```

    Reference:
        Wang et al., *Ranked List Loss for Deep Metric Learning*, CVPR 2019,
        https://arxiv.org/abs/1903.03238
    """

    def __init__(
        self,
        distance: Any = "euclidean",
        margin: float = 0.4,
        Tn: float = 10.0,
        imbalance: float = 0.5,
        alpha: float | None = None,
        Tp: float = 0.0,
        name: str = "ranked_list_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.Tn = checked_number(Tn, "Tn")
        self.imbalance = checked_number(imbalance, "imbalance")
        if not 0 <= self.imbalance <= 1:
            raise ValueError(f"`imbalance` must be from 0 to 1. Received: {imbalance!r}.")
        self.alpha = 1 + self.margin / 2 if alpha is None else checked_number(alpha, "alpha")
        self.Tp = checked_number(Tp, "Tp")

    def row_loss(self, rows: Rows) -> Any:
        far = rows.distances - (self.alpha - self.margin)
        near = self.alpha - rows.distances
        pull = _weighted_mean(far, ops.logical_and(rows.positives, far > 0), self.Tp)
        push = _weighted_mean(near, ops.logical_and(rows.negatives, near > 0), self.Tn)
        return (1 - self.imbalance) * pull + self.imbalance * push

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "Tn": self.Tn,
            "imbalance": self.imbalance,
            "alpha": self.alpha,
            "Tp": self.Tp,
        }
