"""SphereFace: the angle to the own class is multiplied."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.proxy_loss import SoftmaxProxyLoss

__all__ = ["SphereFaceLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SphereFaceLoss(SoftmaxProxyLoss):
    """SphereFace: softmax over cosines to proxies, with the own angle taken several times.

    With θ the angle to the proxy of the own class and c_j the cosines to others,
    `loss = -log(exp(scale t) / (exp(scale t) + sum over other classes j of
    exp(scale c_j)))`, where `t = (-1)^k cos(margin θ) - 2 k` for
    `k π <= margin θ <= (k + 1) π`: it falls from 1 at θ = 0 to
    `1 - 2 margin` at θ = π. The cosine of the multiple is formed as a
    polynomial of the cosine, so gradients are finite everywhere.

    Args:
        margin: Positive integer, how many times the angle is taken.
        scale: What cosines are multiplied with for the softmax. The paper and
            pytorch-metric-learning use the length of each embedding instead;
            embeddings have length 1 here.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Recommended: `ArcFaceLoss` or `CosFaceLoss`, which superseded it and are
    easier to train.

    Example:

    ```python
    from tensorflow_similarity.losses import SphereFaceLoss

    SphereFaceLoss(margin=1)([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Liu et al., *SphereFace: Deep Hypersphere Embedding for Face
        Recognition*, CVPR 2017, https://arxiv.org/abs/1704.08063
    """

    def __init__(
        self,
        margin: int = 4,
        scale: float = 30.0,
        name: str = "sphereface_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.margin = count(margin, "margin")
        self.scale = checked_positive(scale, "scale")

    def own_class(self, cosines: Any) -> Any:
        before, multiple = ops.ones_like(cosines), cosines
        for _ in range(self.margin - 1):  # Chebyshev: cos of 2θ, 3θ …
            before, multiple = multiple, 2 * cosines * multiple - before
        k = ops.zeros_like(cosines)
        for j in range(1, self.margin):
            k = k + ops.cast(cosines < math.cos(j * math.pi / self.margin), k.dtype)
        sign = 1 - 2 * ops.mod(k, 2)
        return sign * multiple - 2 * k

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}
