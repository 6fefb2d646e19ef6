"""Angular loss."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity.losses.arguments import checked_cosine, checked_positive
from tensorflow_similarity.losses.masked import EMPTY, masked_sum, mean_over_pairs, number_of
from tensorflow_similarity.losses.metric_loss import MetricLoss, query_places

__all__ = ["AngularLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class AngularLoss(MetricLoss):
    """Angular loss: the angle at the negative, in the triangle with a positive pair.

    `loss = mean over pairs (a, p) of log(1 + sum over n of
    exp(4 t (cos(a, n) + cos(p, n)) - 2 (1 + t) cos(a, p)))`, `t = tan(alpha)^2`.

    Per query, the sum over its pairs is scaled so that the mean over the batch is
    the mean over all ordered positive pairs. The sum over n is a product of
    matrices, so no triplet is ever formed. A query without a positive, or without
    a negative, has loss 0.

    Args:
        distance: The cosine distance: the loss is one of angles.
        alpha: The bound on the angle, in degrees, above 0 and at most 60.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: 36 to 55 degrees. The paper adds it to `NpairsLoss` at twice the
    weight.

    Relations: the triplet losses compare two sides of the triangle; this one's
    angle does not change with the scale, and pulls all three corners.

    Raises:
        ValueError: If the distance is another, or `alpha` is out of bounds.

    Example:

    ```python
    from tensorflow_similarity.losses import AngularLoss

    loss = AngularLoss(alpha=45)
    loss([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 0.018150
    ```

    Reference:
        Wang et al., *Deep Metric Learning with Angular Loss*, ICCV 2017,
        https://arxiv.org/abs/1708.01682
    """

    def __init__(
        self,
        distance: Any = "cosine",
        alpha: float = 40.0,
        name: str = "angular_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=checked_cosine(distance, type(self)), name=name, **kwargs)
        self.alpha = checked_positive(alpha, "alpha")
        if self.alpha > 60:  # Beyond, the exponentials leave what float32 holds.
            raise ValueError(f"`alpha` must be at most 60 degrees. Received: {alpha!r}.")

    def query_losses(
        self,
        query_labels: Any,
        queries: Any,
        key_labels: Any,
        keys: Any,
        queries_are_keys: bool = False,
    ) -> Any:
        t = math.tan(math.radians(self.alpha)) ** 2

        def pushes(p: Any, k: Any, query_pushes: Any) -> Any:
            """`sum over n` of every query for some keys p: `[keys, queries]`."""
            key_pushes = ops.exp(-4 * t * self._distance()(p, k))
            return ops.matmul(key_pushes, ops.transpose(query_pushes))

        def sums(*block: Any) -> tuple[Any, Any]:
            rows, k = self.rows(*block), block[-1]
            # exp(4 t (cos(a, n) - 1)), which is at most 1.
            query_pushes = ops.where(rows.negatives, ops.exp(-4 * t * rows.distances), 0)
            total = map_row_blocks(pushes, (k,), (k, query_pushes), self.block_size)
            total = ops.transpose(total)
            some = ops.logical_and(rows.positives, total > 0)
            push = ops.where(some, ops.log(ops.where(some, total, 1)) + 8 * t, EMPTY)
            costs = ops.softplus(push - 2 * (1 + t) * (1 - rows.distances))
            return masked_sum(costs, rows.positives), number_of(rows.positives, costs.dtype)

        cost, pairs = map_row_blocks(
            sums,
            (query_labels, queries, query_places(queries, queries_are_keys)),
            (key_labels, keys),
            self.block_size,
        )
        return mean_over_pairs(cost, pairs, self.counted(query_labels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}
