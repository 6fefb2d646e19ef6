"""Tuplet margin loss."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_cosine, checked_positive
from tensorflow_similarity.losses.masked import masked_logsumexp, masked_sum, number_of
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.pair_loss import PairLoss
from tensorflow_similarity.mining.rows import Rows

__all__ = ["TupletMarginLoss"]

# The sine has an infinite slope in the cosine at angle 0: below 1e-3 radians it
# is taken to be linear there.
_SMALLEST_SINE = 1e-3


def _sine(distances: Any) -> Any:
    """The sine of the angle at a cosine distance."""
    square = ops.relu(distances * (2 - distances))
    steep = square < _SMALLEST_SINE**2
    return ops.where(steep, square / _SMALLEST_SINE, ops.sqrt(ops.where(steep, 1, square)))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class TupletMarginLoss(PairLoss):
    """Tuplet margin loss: each positive against all negatives, with a slack in its angle.

    `loss = mean over pairs (a, p) of log(1 + sum over n of
    exp(scale (cos(a, n) - cos(angle(a, p) - margin))))`.

    The margin slackens the positive: pairs of one class that are nearer than the
    margin are not pulled further. Per query, the sum over its pairs is scaled so
    that the mean over the batch is the mean over all ordered positive pairs. A
    query without a positive, or without a negative, has loss 0.

    Args:
        distance: The cosine distance: the loss is one of angles.
        margin: The slack, in degrees.
        scale: The scale of the cosines, above 0.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: the defaults; with the intra-pair variance term,
    `IntraPairVarianceLoss`, at half its weight, as in the paper.

    Relations: with `margin=0` it is `NTXentLoss` with `temperature = 1 / scale`.

    Raises:
        ValueError: If the distance is another.

    Example:

    ```python
    from tensorflow_similarity.losses import TupletMarginLoss

    loss = TupletMarginLoss(margin=0.0, scale=1.0)
    loss([0, 0, 1], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # (1.313262 + 0.693147) / 2
    ```

    Reference:
        Yu and Tao, *Deep Metric Learning with Tuplet Margin Loss*, ICCV 2019,
        https://openaccess.thecvf.com/content_ICCV_2019/papers/Yu_Deep_Metric_Learning_With_Tuplet_Margin_Loss_ICCV_2019_paper.pdf
    """

    def __init__(
        self,
        distance: Any = "cosine",
        margin: float = 5.73,
        scale: float = 64.0,
        name: str = "tuplet_margin_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.scale = checked_positive(scale, "scale")

    def pair_sums(self, rows: Rows) -> tuple[tuple[Any, Any], ...]:
        distances, positives, negatives, *_ = rows
        cosines = 1 - distances
        # cos(angle - margin), from the cosine and the sine of the angle.
        margin = math.radians(self.margin)
        slack = math.cos(margin) * cosines + math.sin(margin) * _sine(distances)
        pushes = masked_logsumexp(self.scale * cosines, negatives)
        costs = ops.softplus(pushes[:, None] - self.scale * slack)
        return ((masked_sum(costs, positives), number_of(positives, costs.dtype)),)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}
