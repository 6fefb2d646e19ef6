"""FastAP loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.arguments import checked_cosine
from tensorflow_similarity.losses.histograms import soft_histogram
from tensorflow_similarity.losses.masked import any_pair, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["FastAPLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class FastAPLoss(MetricLoss):
    """FastAP: average precision of a query's ranking, from a histogram of its distances.

    `loss = 1 - sum over nodes j of h+(j) H+(j) / H(j) / |P(a)|`,

    where h+ is the soft histogram of the distances to the positives, and H+ and
    H are the cumulated ones of the positives and of all. A query without a
    positive, or without a negative, has loss 0.

    Args:
        distance: The cosine distance, whose values are bounded.
        num_bins: Intervals of the histogram over distances from 0 to 2.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: large batches, in which a ranking is worth its name; the paper
    takes 256 and more, from pairs of categories that are hard to tell apart.

    Recommended: 10 bins; more make the gradient sparse.

    Relations: the same aim as `SmoothAPLoss`, in one pass over the distances
    instead of one for each positive. On unit vectors the cosine distance is half
    the squared Euclidean one that others bin from 0 to 4: the bins are the same.

    Raises:
        ValueError: If the distance is another.

    Example:

    ```python
    from tensorflow_similarity.losses import FastAPLoss

    loss = FastAPLoss(num_bins=2)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # (0.5 + 0.5 + 0) / 3
    ```

    Reference:
        Cakir et al., *Deep Metric Learning to Rank*, CVPR 2019,
        https://openaccess.thecvf.com/content_CVPR_2019/papers/Cakir_Deep_Metric_Learning_to_Rank_CVPR_2019_paper.pdf
    """

    def __init__(
        self,
        distance: Any = "cosine",
        num_bins: int = 10,
        name: str = "fastap_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **kwargs)
        self.num_bins = count(num_bins, "num_bins")

    def row_loss(self, rows: Rows) -> Any:
        distances, positives, negatives, *_ = rows
        alike = soft_histogram(distances, positives, self.num_bins, 2.0)
        other = soft_histogram(distances, negatives, self.num_bins, 2.0)
        cumulated = ops.cumsum(alike, axis=1)
        every = ops.cumsum(alike + other, axis=1)
        some = every > 0
        precision = ops.where(some, cumulated / ops.where(some, every, 1), 0)
        number = number_of(positives, distances.dtype)
        average = ops.sum(alike * precision, axis=1) / ops.maximum(number, 1)
        both = ops.logical_and(any_pair(positives), any_pair(negatives))
        return ops.where(both, 1 - average, 0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}
