"""Margin-based loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.masked import masked_sum, number_of
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.pair_loss import PairLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["MarginLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MarginLoss(PairLoss):
    """Margin-based loss: pairs are held on their side of a boundary.

    `loss = sum over triplets (a, p, n) of max(0, d(a, p) - beta + margin)
    + max(0, beta - d(a, n) + margin)`, divided by the number of terms above 0.

    It takes every triplet of the batch, so a query's positives together weigh
    as much as its negatives; no triplet is ever formed. Per query, the sum is
    scaled so that the mean over the batch is this value. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: How far from the boundary a pair should be, in units of the
            distance.
        beta: The boundary, in units of the distance. It is fixed: a variable in
            a loss would be neither trained nor saved.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`, normalised for the default boundary.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: `beta` of 1.2 and `margin` of 0.2 with the Euclidean distance of
    unit vectors, in which random vectors are about 1.4 apart.

    Relations: `ContrastiveLoss` with a margin for the positives too, and without
    the square.

    Example:

    ```python
    from tensorflow_similarity.losses import MarginLoss

    loss = MarginLoss(beta=1.0, margin=0.5)
    loss([0, 0, 1], [[0.0], [1.0], [2.5]])  # 0.5
    ```

    Reference:
        Wu et al., *Sampling Matters in Deep Embedding Learning*, ICCV 2017,
        https://arxiv.org/abs/1706.07567
    """

    def __init__(
        self,
        distance: Any = "euclidean",
        margin: float = 0.2,
        beta: float = 1.2,
        name: str = "margin_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.beta = checked_number(beta, "beta")

    def pair_sums(self, rows: Rows) -> tuple[tuple[Any, Any], ...]:
        distances, positives, negatives, *_ = rows
        pull = ops.relu(distances - self.beta + self.margin)
        push = ops.relu(self.beta - distances + self.margin)
        # A positive pair is in as many triplets as there are negatives.
        triplets = number_of(negatives, distances.dtype), number_of(positives, distances.dtype)
        sums = triplets[0] * masked_sum(pull, positives) + triplets[1] * masked_sum(push, negatives)
        pulled = number_of(ops.logical_and(positives, pull > 0), distances.dtype)
        pushed = number_of(ops.logical_and(negatives, push > 0), distances.dtype)
        return ((sums, triplets[0] * pulled + triplets[1] * pushed),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "beta": self.beta}
