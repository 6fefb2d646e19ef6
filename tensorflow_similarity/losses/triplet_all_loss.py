"""Triplet loss over all triplets of a batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.masked import number_of
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.pair_loss import PairLoss
from tensorflow_similarity.losses.soft_ranks import with_slope
from tensorflow_similarity.mining.batch_all import batch_all_hinge
from tensorflow_similarity.mining.rows import Rows

__all__ = ["TripletAllLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TripletAllLoss(PairLoss):
    """Batch-all triplet loss: every positive against every negative of a query.

    `loss = sum over (a, p, n) of max(0, d(a, p) - d(a, n) + margin)`, divided by
    the number of triplets whose term is above 0.

    No triplet is formed: rows are sorted, and cumulated sums give the value and
    the gradient in O(batch^2) memory. Per query, the sum is scaled so that the
    mean over the batch is this value. A query without a positive, or without a
    negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        margin: The margin, in units of the distance.
        active_only: Whether to divide by the number of triplets above 0. If
            not, by the number of all triplets: the loss then fades as triplets
            are learned.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: a margin that is small for the distance: 0.05 to 0.2 on unit
    vectors. A large one keeps every triplet active, and the hard ones drown.

    Relations: `TripletLoss` looks at one triplet of each query,
    `TripletSemiHardLoss` at one negative of each pair.

    Example:

    ```python
    from tensorflow_similarity.losses import TripletAllLoss

    loss = TripletAllLoss(distance="euclidean", margin=1.0)
    loss([0, 1, 0], [[0.0], [1.0], [3.0]])  # (3 + 2) / 2
    ```

    Reference:
        Hermans et al., *In Defense of the Triplet Loss for Person
        Re-Identification*, 2017, https://arxiv.org/abs/1703.07737
    """

    def __init__(
        self,
        distance: Any = "cosine",
        margin: float = 0.1,
        active_only: bool = True,
        name: str = "triplet_all_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.active_only = bool(active_only)

    def pair_sums(self, rows: Rows) -> tuple[tuple[Any, Any], ...]:
        sums, triplets, slope = batch_all_hinge(
            ops.stop_gradient(rows.distances), rows.positives, rows.negatives, self.margin
        )
        if not self.active_only:
            dtype = rows.distances.dtype
            triplets = number_of(rows.positives, dtype) * number_of(rows.negatives, dtype)
        return ((with_slope(sums, slope, rows.distances), ops.stop_gradient(triplets)),)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "margin": self.margin,
            "active_only": self.active_only,
        }
