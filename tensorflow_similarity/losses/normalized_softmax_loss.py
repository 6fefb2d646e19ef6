"""Softmax over cosines to classes."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.proxy_loss import SoftmaxProxyLoss

__all__ = ["NormalizedSoftmaxLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class NormalizedSoftmaxLoss(SoftmaxProxyLoss):
    """Normalised softmax: cross entropy over cosines to proxies, at a temperature.

    For cosines c_j and own class y,
    `loss = -log(exp(c_y / temperature) / sum over classes j of exp(c_j / temperature))`.

    Args:
        temperature: The temperature. Low ones spread the cosines over the range
            in which a softmax can be sure; the least loss for n classes at
            temperature T is about `n exp(-1 / T)`, for proxies at right angles.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Recommended: where to begin among the losses on proxies: it has no margin
    that could make training hard.

    Relations: `CosFaceLoss` without a margin, `ProxyNCALoss` with
    `softmax_scale = 1 / (2 temperature)`.

    Example:

    ```python
    from tensorflow_similarity.losses import NormalizedSoftmaxLoss

    NormalizedSoftmaxLoss()([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Zhai and Wu, *Classification is a Strong Baseline for Deep Metric
        Learning*, BMVC 2019, https://arxiv.org/abs/1811.12649
    """

    def __init__(
        self, temperature: float = 0.05, name: str = "normalized_softmax_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.temperature = checked_positive(temperature, "temperature")
        self.scale = 1 / self.temperature

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
