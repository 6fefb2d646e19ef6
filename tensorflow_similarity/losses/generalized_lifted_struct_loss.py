"""Generalised lifted structured loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.masked import masked_logsumexp
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number
from tensorflow_similarity.mining.rows import Rows

__all__ = ["GeneralizedLiftedStructLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class GeneralizedLiftedStructLoss(MetricLoss):
    """Lifted structured loss of a query: all its positives against all its negatives.

    `loss = max(0, log(sum over p of exp(d(a, p) - pos_margin))
    + log(sum over n of exp(neg_margin - d(a, n))))`.

    A query without a positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        neg_margin: Added for the negatives, in units of the distance.
        pos_margin: Taken from the positives, in units of the distance.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: embeddings that are not normalised. On unit vectors the two sums
    differ little among pairs, and the loss is never far from its start.

    Relations: `LiftedStructLoss` has a term for each positive pair; this has one
    for each query, in which far positives and near negatives weigh most: a
    smooth `TripletHardLoss`.

    Example:

    ```python
    from tensorflow_similarity.losses import GeneralizedLiftedStructLoss

    GeneralizedLiftedStructLoss()([0, 0, 1], [[0.0], [1.0], [1.5]])  # (0.5 + 1.5) / 3
    ```

    Reference:
        Hermans et al., *In Defense of the Triplet Loss for Person
        Re-Identification*, 2017, https://arxiv.org/abs/1703.07737
    """

    def __init__(
        self,
        distance: Any = "euclidean",
        neg_margin: float = 1.0,
        pos_margin: float = 0.0,
        name: str = "generalized_lifted_struct_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.neg_margin = checked_number(neg_margin, "neg_margin")
        self.pos_margin = checked_number(pos_margin, "pos_margin")

    def row_loss(self, rows: Rows) -> Any:
        pull = masked_logsumexp(rows.distances - self.pos_margin, rows.positives)
        push = masked_logsumexp(self.neg_margin - rows.distances, rows.negatives)
        return ops.relu(pull + push)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "neg_margin": self.neg_margin,
            "pos_margin": self.pos_margin,
        }
