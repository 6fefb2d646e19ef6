"""Variance-invariance-covariance regularisation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.covariances import batch_size_of, centred, off_diagonal_squares
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["VICRegLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class VICRegLoss(TwoViewLoss):
    """VICReg: views agree, every feature varies, and no two features vary together.

    `loss_i = lambda_ * mean over f of (a_if - b_if)^2 + mu * (v(a) + v(b)) / 2
    + nu * (c(a) + c(b))`, with
    `v(z) = mean over f of max(0, 1 - sqrt(var(z_f) + std_const))` and
    `c(z) = sum over f != g of cov(z)_fg^2 / dim`.

    The second and the third term are one value for the batch, which each example
    gets. The variance is divided by the batch size, the covariance by one less.

    Args:
        std_const: Added to the variance, above 0.
        lambda_: The weight of the invariance.
        mu: The weight of the variance.
        nu: The weight of the covariance.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, as in Keras.

    Inputs: the embeddings of two views, `[batch, dim]` each, not normalised.

    Requirements: batches from which a covariance can be told, 128 and more.

    Recommended: a wide projector before it, and the defaults, the paper's.

    Relations: `BarlowTwinsLoss` correlates the two views with each other.
    pytorch-metric-learning divides the variance by one less than the batch size
    too. It is also found under TensorFlow Similarity's name, `VicReg`.

    Example:

    ```python
    from tensorflow_similarity.losses import VICRegLoss

    views = [[2.0, 0.0], [-2.0, 0.0]]
    VICRegLoss()(views, views)  # 12.375
    ```

    Reference:
        Bardes et al., *VICReg: Variance-Invariance-Covariance Regularization for
        Self-Supervised Learning*, ICLR 2022, https://arxiv.org/abs/2105.04906
    """

    def __init__(
        self,
        std_const: float = 1e-4,
        lambda_: float = 25.0,
        mu: float = 25.0,
        nu: float = 1.0,
        name: str = "vicreg_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.std_const = checked_positive(std_const, "std_const")
        self.lambda_ = checked_number(lambda_, "lambda_")
        self.mu = checked_number(mu, "mu")
        self.nu = checked_number(nu, "nu")

    def call(self, za: Any, zb: Any) -> Any:
        invariance = ops.mean(ops.square(za - zb), axis=1)
        za, zb = centred(za), centred(zb)
        variance = (self._variance_loss(za) + self._variance_loss(zb)) / 2
        covariance = _covariance_loss(za) + _covariance_loss(zb)
        return self.lambda_ * invariance + self.mu * variance + self.nu * covariance

    def _variance_loss(self, z: Any) -> Any:
        deviation = ops.sqrt(ops.mean(ops.square(z), axis=0) + self.std_const)
        return ops.mean(ops.relu(1 - deviation))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "std_const": self.std_const,
            "lambda_": self.lambda_,
            "mu": self.mu,
            "nu": self.nu,
        }


def _covariance_loss(z: Any) -> Any:
    covariance = ops.matmul(ops.transpose(z), z) / ops.maximum(batch_size_of(z) - 1, 1)
    return off_diagonal_squares(covariance) / z.shape[1]
