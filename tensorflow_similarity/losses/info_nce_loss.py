"""InfoNCE loss on two views."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["InfoNCELoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class InfoNCELoss(TwoViewLoss):
    """InfoNCE: each query must find its key among all keys of the batch, as in MoCo v3.

    `loss_i = -log(exp(s(q_i, k_i) / T) / sum over j of exp(s(q_i, k_j) / T))`, s is the cosine
    similarity. One direction only; views within one side are not compared.

    Args:
        temperature: T, above 0.
        name: Name of the loss.
        reduction: As in Keras.
        dtype: As in Keras.

    Inputs: the keys in the place of `y_true`, the queries in that of `y_pred`,
    `[batch, dim]` each. In MoCo the keys come from a momentum encoder, see
    `tensorflow_similarity.models.ContrastiveModel`.

    Requirements: large batches: all other keys are the negatives.

    Relations: `SimCLRLoss` goes both ways, and compares the views within each side too.

    Example:

    ```python
    from tensorflow_similarity.losses import InfoNCELoss

    views = [[1.0, 0.0], [0.0, 1.0]]
    InfoNCELoss(temperature=1.0)(views, views)  # log(1 + exp(-1)) = 0.313262
    ```

    Reference:
        van den Oord et al., *Representation Learning with Contrastive Predictive Coding*, 2018,
        https://arxiv.org/abs/1807.03748; Chen et al., *An Empirical Study of Training
        Self-Supervised Vision Transformers*, ICCV 2021, https://arxiv.org/abs/2104.02057
    """

    def __init__(
        self,
        temperature: float = 0.2,
        name: str = "info_nce_loss",
        reduction: str | None = "sum_over_batch_size",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = checked_positive(temperature, "temperature")

    def call(self, za: Any, zb: Any) -> Any:
        keys, queries = unit_rows(za), unit_rows(zb)
        scores = ops.matmul(queries, ops.transpose(keys)) / self.temperature
        own = ops.sum(queries * keys, axis=-1) / self.temperature
        return ops.logsumexp(scores, axis=1) - own

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
