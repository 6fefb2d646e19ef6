"""Normalised temperature-scaled cross entropy loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import masked_logsumexp, masked_sum, number_of
from tensorflow_similarity.losses.pair_loss import PairLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["NTXentLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NTXentLoss(PairLoss):
    """Cross entropy of each positive pair against the query's negatives (InfoNCE).

    `loss = mean over pairs (a, p) of -log(exp(-d(a, p) / T) / (exp(-d(a, p) / T)
    + sum over n of exp(-d(a, n) / T)))`.

    Other positives of a are not in the denominator. Per query, the sum over its
    pairs is scaled so that the mean over the batch is the mean over all ordered
    positive pairs. A query without a positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. For self-supervised learning concatenate two views of a
    batch, with the example's number as its class.

    Requirements: at least two examples of a class, and many classes, in a batch.

    Recommended: the cosine distance and a temperature of 0.05 to 0.5.

    Relations: with one positive a query it is `SupConLoss`; on two views it is
    `SimCLRLoss` (which adds the two directions where this takes their mean).

    Example:

    ```python
    from tensorflow_similarity.losses import NTXentLoss

    loss = NTXentLoss(temperature=1.0)
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 0.313262
    ```

    Reference:
        van den Oord et al., *Representation Learning with Contrastive Predictive
        Coding*, 2018, https://arxiv.org/abs/1807.03748; Chen et al., *A Simple
        Framework for Contrastive Learning*, ICML 2020,
        https://arxiv.org/abs/2002.05709
    """

    def __init__(
        self,
        distance: Any = "cosine",
        temperature: float = 0.07,
        name: str = "ntxent_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.temperature = checked_positive(temperature, "temperature")

    def pair_sums(self, rows: Rows) -> tuple[tuple[Any, Any], ...]:
        similarities = -rows.distances / self.temperature
        pushes = masked_logsumexp(similarities, rows.negatives)
        costs = ops.softplus(pushes[:, None] - similarities)
        pairs = number_of(rows.positives, costs.dtype)
        return ((masked_sum(costs, rows.positives), pairs),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
