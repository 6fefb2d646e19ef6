"""Contrastive loss on the signal-to-noise ratio."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.masked import masked_sum, number_of
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.pair_loss import PairLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["SNRContrastiveLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SNRContrastiveLoss(PairLoss):
    """Contrastive loss on signal-to-noise ratios: the noise of a pair is its distance.

    `loss = mean over pairs (a, p) of max(0, d(a, p) - pos_margin)
    + mean over pairs (a, n) of max(0, neg_margin - d(a, n))`, with
    `d(a, b) = var(a - b) / var(a)`,

    the means being over the pairs whose term is above 0. Per query, the sums are
    scaled so that the mean over the batch is this value. A query without a
    positive is still pushed from its negatives, and the other way round.

    Args:
        distance: Distance between embeddings, by name or object.
        pos_margin: Positives at most so far cost nothing.
        neg_margin: Negatives at least so far cost nothing.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: two classes in a batch, and at least two examples of one.

    Recommended: embeddings that are not normalised, with a small penalty on
    their mean over the features (the paper's regulariser), which is an activity
    regulariser of the last layer: the distance does not see a common offset.

    Relations: the terms of `ContrastiveLoss` without the square, on another
    distance; with `distance="euclidean"` the contrastive loss of
    pytorch-metric-learning.

    Example:

    ```python
    from tensorflow_similarity.losses import SNRContrastiveLoss

    SNRContrastiveLoss()([0, 0, 1], [[1.0, -1.0], [2.0, -2.0], [-1.0, 1.0]])  # 0.625
    ```

    Reference:
        Yuan et al., *Signal-to-Noise Ratio: A Robust Distance Metric for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.02616
    """

    def __init__(
        self,
        distance: Any = "snr",
        pos_margin: float = 0.0,
        neg_margin: float = 1.0,
        name: str = "snr_contrastive_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.pos_margin = checked_number(pos_margin, "pos_margin")
        self.neg_margin = checked_number(neg_margin, "neg_margin")

    def pair_sums(self, rows: Rows) -> tuple[tuple[Any, Any], ...]:
        def term(costs: Any, mask: Any) -> tuple[Any, Any]:
            active = ops.logical_and(mask, costs > 0)
            return masked_sum(costs, active), number_of(active, costs.dtype)

        return (
            term(rows.distances - self.pos_margin, rows.positives),
            term(self.neg_margin - rows.distances, rows.negatives),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pos_margin": self.pos_margin,
            "neg_margin": self.neg_margin,
        }
