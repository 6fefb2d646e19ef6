"""CosFace: a margin on the cosine to the own class."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.proxy_loss import SoftmaxProxyLoss

__all__ = ["CosFaceLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CosFaceLoss(SoftmaxProxyLoss):
    """CosFace: softmax over cosines to proxies, where the own class must win by a margin.

    For cosines c_j and own class y,
    `loss = -log(exp(scale (c_y - margin)) / (exp(scale (c_y - margin))
    + sum over other classes j of exp(scale c_j)))`.

    Args:
        margin: The margin, in units of the cosine.
        scale: What cosines are multiplied with for the softmax.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Relations: `NormalizedSoftmaxLoss` with a margin; additive margin softmax
    (AM-softmax) is the same.

    Example:

    ```python
    from tensorflow_similarity.losses import CosFaceLoss

    CosFaceLoss(margin=0.35)([0], [[0.6, 0.25]])  # log(2)
    ```

    Reference:
        Wang et al., *CosFace: Large Margin Cosine Loss for Deep Face
        Recognition*, CVPR 2018, https://arxiv.org/abs/1801.09414
    """

    def __init__(
        self,
        margin: float = 0.35,
        scale: float = 64.0,
        name: str = "cosface_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.scale = checked_positive(scale, "scale")

    def own_class(self, cosines: Any) -> Any:
        return cosines - self.margin

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}
