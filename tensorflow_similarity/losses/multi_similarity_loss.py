"""Multi-similarity loss."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import log_one_plus_sum_exp
from tensorflow_similarity.losses.metric_loss import MetricLoss, checked_number
from tensorflow_similarity.mining.miners import MultiSimilarityMiner
from tensorflow_similarity.mining.rows import Rows

__all__ = ["MultiSimilarityLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MultiSimilarityLoss(MetricLoss):
    """Multi-similarity loss: pairs weighed by themselves and by the pairs beside them.

    `loss = log(1 + sum over p of exp(alpha (d(a, p) + s))) / alpha
    + log(1 + sum over n of exp(-beta (d(a, n) + s))) / beta`, `s = lmda - center`,

    over the pairs that are left by mining: positives farther than the nearest
    negative less `epsilon`, negatives nearer than the farthest positive plus
    `epsilon`. With the cosine distance and `center=1` this is the paper's, whose
    threshold on the similarity is `lmda`. A query without a positive, or without
    a negative, keeps no pair and has loss 0.

    Args:
        distance: Distance between embeddings, by name or object.
        alpha: The weight of hard positives against others, above 0.
        beta: The weight of hard negatives against others, above 0.
        epsilon: How much an easy pair may miss being hard; None uses all pairs,
            then a query without a positive is still pushed from its negatives.
        lmda: The threshold between positives and negatives, as a similarity.
        center: The distance at which the similarity is 0.
        name: Name of the loss.
        **kwargs: `block_size`, `reduction` and `dtype`, see `MetricLoss`.

    Inputs: `y_true` integer class ids `[batch]`, `y_pred` embeddings
    `[batch, dim]`.

    Requirements: several examples of each class in a batch: the more pairs, the
    more there is to weigh.

    Recommended: the defaults with the cosine distance. For distances of another
    scale set `center` to a typical distance, and `alpha`, `beta` to its inverse.

    Relations: `LiftedStructLoss` weighs negatives only; `CircleLoss` weighs each
    pair by its own distance, and has one threshold for both kinds.

    Example:

    ```python
    from tensorflow_similarity.losses import MultiSimilarityLoss

    loss = MultiSimilarityLoss(distance="euclidean", alpha=1.0, beta=1.0, lmda=1.0)
    loss([0, 0, 1], [[0.0], [1.0], [0.5]])  # (1.787337 + 1.787337 + 0) / 3
    ```

    Reference:
        Wang et al., *Multi-Similarity Loss with General Pair Weighting for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.06627
    """

    def __init__(
        self,
        distance: Any = "cosine",
        alpha: float = 2.0,
        beta: float = 40.0,
        epsilon: float | None = 0.1,
        lmda: float = 0.5,
        center: float = 1.0,
        name: str = "multi_similarity_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(distance=distance, name=name, **kwargs)
        self.alpha = checked_positive(alpha, "alpha")
        self.beta = checked_positive(beta, "beta")
        self.epsilon = None if epsilon is None else checked_number(epsilon, "epsilon")
        self.lmda = checked_number(lmda, "lmda")
        self.center = checked_number(center, "center")

    def _hard(self, rows: Rows) -> tuple[Any, Any]:
        """The positives and the negatives that mining keeps."""
        if self.epsilon is not None:
            rows = MultiSimilarityMiner(self.epsilon)(rows)
        return rows.positives, rows.negatives

    def row_loss(self, rows: Rows) -> Any:
        positives, negatives = self._hard(rows)
        shifted = rows.distances + (self.lmda - self.center)
        pull = log_one_plus_sum_exp(self.alpha * shifted, positives)
        push = log_one_plus_sum_exp(-self.beta * shifted, negatives)
        return pull / self.alpha + push / self.beta

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
            "epsilon": self.epsilon,
            "lmda": self.lmda,
            "center": self.center,
        }
