"""SoftTriple."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arcface_loss import several_centers
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.proxy_loss import SoftmaxProxyLoss

__all__ = ["SoftTripleLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SoftTripleLoss(SoftmaxProxyLoss):
    """SoftTriple: softmax over classes that have several centers each, softly assigned.

    With c_jk the cosine to center k of class j, the similarity to the class is
    `s_j = sum over k of softmax_k(c_jk / gamma) c_jk`, and for the own class y
    `loss = -log(exp(scale (s_y - margin)) / (exp(scale (s_y - margin))
    + sum over other classes j of exp(scale s_j)))`.

    Args:
        scale: What similarities are multiplied with (λ in the paper, `la` in
            pytorch-metric-learning).
        gamma: Temperature of the assignment to centers: near 0 the nearest
            center counts alone.
        margin: The margin, in units of the cosine.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes, centers]` from `layers.ProxyHead(classes, centers=10)`.

    Recommended: 10 centers a class, more than there are clusters. The paper's
    regulariser, which merges centers, is not part of the loss.

    Relations: with one center it would be `CosFaceLoss`. As gamma falls, it
    becomes `CosFaceLoss` on the nearest of the centers.

    Example:

    ```python
    from tensorflow_similarity.losses import SoftTripleLoss

    loss = SoftTripleLoss(margin=0.0)
    loss([0], [[[0.5, 0.5], [0.5, 0.5]]])  # log(2)
    ```

    Reference:
        Qian et al., *SoftTriple Loss: Deep Metric Learning Without Triplet
        Sampling*, ICCV 2019, https://arxiv.org/abs/1909.05235
    """

    def __init__(
        self,
        scale: float = 20.0,
        gamma: float = 0.1,
        margin: float = 0.01,
        name: str = "soft_triple_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.scale = checked_positive(scale, "scale")
        self.gamma = checked_positive(gamma, "gamma")
        self.margin = checked_number(margin, "margin")

    def to_classes(self, cosines: Any) -> Any:
        return ops.sum(ops.softmax(cosines / self.gamma, axis=2) * cosines, axis=2)

    def own_class(self, cosines: Any) -> Any:
        return cosines - self.margin

    def checked_predictions(self, y_pred: Any) -> Any:
        return several_centers(super().checked_predictions(y_pred), type(self).__name__)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "gamma": self.gamma,
            "margin": self.margin,
        }
