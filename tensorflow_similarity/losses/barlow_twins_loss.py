"""Barlow twins loss."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.covariances import batch_size_of, centred, off_diagonal_squares
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["BarlowTwinsLoss"]

_SMALLEST_VARIANCE = 1e-20


def _standardised(z: Any) -> Any:
    """Features of mean 0 and variance 1; 0 where a feature is constant."""
    z = centred(z)
    variance = ops.mean(ops.square(z), axis=0, keepdims=True)
    varies = variance > _SMALLEST_VARIANCE
    return ops.where(varies, z * ops.rsqrt(ops.where(varies, variance, 1)), 0)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class BarlowTwinsLoss(TwoViewLoss):
    """Barlow twins: features agree between two views, and not with each other.

    With C the cross-correlation of the features of both views over the batch,

    `loss = sum over f of (1 - C_ff)^2 + lambda_ * sum over f != g of C_fg^2 + margin`.

    It is one value for the batch, which each example gets.

    Args:
        lambda_: The weight of the second term.
        margin: Added to the loss, without a part in its gradient.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, as in Keras.

    Inputs: the embeddings of two views, `[batch, dim]` each, not normalised.

    Requirements: batches from which a correlation can be told, 128 and more.
    `sample_weight` weighs the value, not the examples in it.

    Recommended: a wide projector before it; the more features, the better.

    Relations: `VICRegLoss` bounds the variance and the covariance of each view
    by itself. It is also found under TensorFlow Similarity's name, `Barlow`.

    Example:

    ```python
    from tensorflow_similarity.losses import BarlowTwinsLoss

    views = [[1.0, 1.0], [-1.0, -1.0]]
    BarlowTwinsLoss(lambda_=0.5)(views, views)  # 1.0
    ```

    Reference:
        Zbontar et al., *Barlow Twins: Self-Supervised Learning via Redundancy
        Reduction*, ICML 2021, https://arxiv.org/abs/2103.03230
    """

    def __init__(
        self,
        lambda_: float = 5e-3,
        margin: float = 1e-12,
        name: str = "barlow_twins_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.lambda_ = checked_number(lambda_, "lambda_")
        self.margin = checked_number(margin, "margin")

    def call(self, za: Any, zb: Any) -> Any:
        za, zb = _standardised(za), _standardised(zb)
        correlation = ops.matmul(ops.transpose(za), zb) / batch_size_of(za)
        agreement = ops.sum(ops.square(1 - ops.diagonal(correlation)))
        value = agreement + self.lambda_ * off_diagonal_squares(correlation) + self.margin
        return value * ops.ones_like(za[:, 0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lambda_": self.lambda_, "margin": self.margin}
