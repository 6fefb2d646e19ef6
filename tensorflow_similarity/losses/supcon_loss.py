"""Supervised contrastive loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import cross_entropy
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["SupConLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SupConLoss(MetricLoss):
    """Supervised contrastive loss: the cross entropy of a softmax over all others.

    `loss = -mean over p of log(exp(-d(a, p) / T) / sum over k of exp(-d(a, k) / T))`,
    where p are the positives of a and k all other examples: the form that the
    paper calls `out`. With graded relevance the mean is weighed by it. A query
    without a positive has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: several examples of each class in a batch, and large batches:
    the negatives come from it.

    Recommended: the cosine distance and a temperature of 0.05 to 0.2.

    Relations: `NTXentLoss` leaves the other positives out of the denominator.
    `NpairsLoss(distance=...)` is this with `T = 1`.

    Example:

    ```python
    from tensorflow_similarity.losses import SupConLoss

    loss = SupConLoss(temperature=1.0)
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 2 * 0.313262 / 3
    ```

    Reference:
        Khosla et al., *Supervised Contrastive Learning*, NeurIPS 2020,
        https://arxiv.org/abs/2004.11362
    """

    def __init__(
        self,
        distance: Any = "cosine",
        temperature: float = 0.1,
        name: str = "supcon_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, rows: Rows) -> Any:
        candidates = ops.logical_or(rows.positives, rows.negatives)
        similarities = -rows.distances / self.temperature
        return cross_entropy(similarities, rows.positive_weights(), candidates)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
