"""Circle loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import masked_logsumexp
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number
from tensorflow_similarity.mining.rows import Rows

__all__ = ["CircleLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CircleLoss(MetricLoss):
    """Circle loss: each pair is weighed by how far it is from where it should be.

    `loss = log(1 + sum over p of exp(gamma w_p (d(a, p) - m))
    * sum over n of exp(gamma w_n (1 - m - d(a, n))))`, with
    `w_p = max(0, d(a, p) + m)` and `w_n = max(0, 1 + m - d(a, n))`,

    where the weights are constants to the gradient. With the cosine distance
    this is the paper's joint form. A query without a positive, or without a
    negative, has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        gamma: The scale of the similarities, above 0.
        margin: The relaxation m: positives should be nearer than m, negatives
            farther than 1 - m.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: at least two examples of a class, and two classes, in a batch.

    Recommended: the cosine distance, with `gamma` of 80 and `margin` of 0.4 for
    retrieval, 256 and 0.25 for faces.

    Relations: with all weights 1 it is the softmax form of the triplet loss over
    all pairs. TensorFlow Similarity added one logarithm for the positives to one
    for the negatives, and differentiated the weights: its values differ.

    Example:

    ```python
    from tensorflow_similarity.losses import CircleLoss

    CircleLoss(gamma=1.0)([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # 2 * 0.545893 / 3
    ```

    Reference:
        Sun et al., *Circle Loss: A Unified Perspective of Pair Similarity
        Optimization*, CVPR 2020, https://arxiv.org/abs/2002.10857
    """

    def __init__(
        self,
        distance: Any = "cosine",
        gamma: float = 80.0,
        margin: float = 0.4,
        name: str = "circle_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.gamma = checked_positive(gamma, "gamma")
        self.margin = checked_number(margin, "margin")

    def row_loss(self, rows: Rows) -> Any:
        distances, positives, negatives, *_ = rows
        constant = ops.stop_gradient(distances)
        pull = ops.relu(constant + self.margin) * (distances - self.margin)
        push = ops.relu(1 + self.margin - constant) * (1 - self.margin - distances)
        # An empty sum empties the product: its logarithm is below all else.
        return ops.softplus(
            masked_logsumexp(self.gamma * pull, positives)
            + masked_logsumexp(self.gamma * push, negatives)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "margin": self.margin}
