"""Recall@k surrogate loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import any_pair, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.losses.soft_ranks import sum_over_ranks
from tensorflow_similarity.mining.rows import Rows

__all__ = ["RecallAtKSurrogateLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class RecallAtKSurrogateLoss(MetricLoss):
    """Recall@k surrogate: how many positives are among the first k, with sigmoids for steps.

    `loss = 1 - mean over k of sum over p of sigmoid((k - rank(p)) / T1) / min(k, |P(a)|)`,
    with the soft rank `1 + sum over j != p of sigmoid((d(a, p) - d(a, j)) / T2)`
    among all other examples. A query without a positive, or without a negative,
    has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        k_vals: The values of k, integers of at least 1.
        k_temperature: T1, above 0, in places of the ranking.
        temperature: T2, above 0, in units of the distance.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. Classes may have different numbers of examples.

    Requirements: large batches: the paper takes 4000. See `block_size`.

    Recommended: the cosine distance and the defaults, which are the paper's.

    Relations: `SmoothAPLoss` has the same ranks, and looks at all places. The
    sigmoid is 1/2 at its step, so a perfect ranking does not quite have loss 0.

    Raises:
        ValueError: If there is no k.

    Example:

    ```python
    from tensorflow_similarity.losses import RecallAtKSurrogateLoss

    loss = RecallAtKSurrogateLoss(k_vals=[1])
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])  # (0.5 + 0.5 + 0) / 3
    ```

    Reference:
        Patel et al., *Recall@k Surrogate Loss with Large Batches and Similarity
        Mixup*, CVPR 2022, https://arxiv.org/abs/2108.11179
    """

    def __init__(
        self,
        distance: Any = "cosine",
        k_vals: Sequence[int] = (1, 2, 4, 8, 16),
        k_temperature: float = 1.0,
        temperature: float = 0.01,
        name: str = "recall_at_k_surrogate_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.k_vals = tuple(count(k, "k_vals") for k in k_vals)
        if not self.k_vals:
            raise ValueError("`k_vals` must hold at least one k. Received: none.")
        self.k_temperature = checked_positive(k_temperature, "k_temperature")
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, rows: Rows) -> Any:
        number = ops.maximum(number_of(rows.positives, rows.distances.dtype), 1)

        def recall(rank: Any, rank_among: Any) -> tuple[Any, Any, Any]:
            value, slope = ops.zeros_like(rank), ops.zeros_like(rank)
            for k in self.k_vals:
                within = ops.sigmoid((k - rank) / self.k_temperature)
                share = within / ops.minimum(k, number)
                value = value + share
                slope = slope - share * (1 - within) / self.k_temperature
            return value, slope, ops.zeros_like(rank)

        average = sum_over_ranks(rows, self.temperature, recall) / len(self.k_vals)
        both = ops.logical_and(any_pair(rows.positives), any_pair(rows.negatives))
        return ops.where(both, 1 - average, 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k_vals": list(self.k_vals),
            "k_temperature": self.k_temperature,
            "temperature": self.temperature,
        }
