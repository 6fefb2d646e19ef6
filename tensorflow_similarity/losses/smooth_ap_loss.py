"""Smooth-AP loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import any_pair, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.losses.soft_ranks import sum_over_ranks
from tensorflow_similarity.mining.rows import Rows

__all__ = ["SmoothAPLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SmoothAPLoss(MetricLoss):
    """Smooth-AP: average precision of a query's ranking, with sigmoids for its steps.

    `loss = 1 - mean over p of rank+(p) / rank(p)`, with the soft ranks
    `1 + sum over k != p of sigmoid((d(a, p) - d(a, k)) / T)`, k being the other
    positives in rank+, and all other examples in rank. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        temperature: T, above 0, in units of the distance.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`. Classes may have different numbers of examples.

    Requirements: large batches, in which a ranking is worth its name: 256 and
    more. The time grows with the number of positives of a query: 4 to 8 examples
    of each class are usual.

    Recommended: the cosine distance and a temperature of 0.01.

    Relations: `FastAPLoss` takes a histogram for the ranks; `RecallAtKSurrogateLoss`
    aims at the first places only. The query itself is not in its ranking; in the
    authors' code it is, and always first.

    Example:

    ```python
    from tensorflow_similarity.losses import SmoothAPLoss

    loss = SmoothAPLoss()
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])  # (0.5 + 0.5 + 0) / 3
    ```

    Reference:
        Brown et al., *Smooth-AP: Smoothing the Path Towards Large-Scale Image
        Retrieval*, ECCV 2020, https://arxiv.org/abs/2007.12163
    """

    def __init__(
        self,
        distance: Any = "cosine",
        temperature: float = 0.01,
        name: str = "smooth_ap_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.temperature = checked_positive(temperature, "temperature")

    def row_loss(self, rows: Rows) -> Any:
        def precision(rank: Any, rank_among: Any) -> tuple[Any, Any, Any]:
            return rank_among / rank, -rank_among / ops.square(rank), 1 / rank

        number = ops.maximum(number_of(rows.positives, rows.distances.dtype), 1)
        average = sum_over_ranks(rows, self.temperature, precision) / number
        both = ops.logical_and(any_pair(rows.positives), any_pair(rows.negatives))
        return ops.where(both, 1 - average, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
