"""Proxy-NCA."""

from __future__ import annotations

from typing import Any

import keras

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.proxy_loss import SoftmaxProxyLoss

__all__ = ["ProxyNCALoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyNCALoss(SoftmaxProxyLoss):
    """Proxy-NCA: softmax over negative squared distances to proxies, on the unit sphere.

    With d_j the Euclidean distance to the proxy of class j, both of length 1, and
    own class y,
    `loss = -log(exp(-softmax_scale d_y^2) / sum over classes j of
    exp(-softmax_scale d_j^2))`. As d^2 = 2 - 2 cos, it is a function of cosines.

    The own class is in the sum, as in Proxy-NCA++ and in pytorch-metric-learning;
    the paper leaves it out, which makes a loss that never ends to fall.

    Args:
        softmax_scale: What squared distances are multiplied with. The default is
            that of the authors, who make embeddings and proxies 3 long, and of
            Proxy-NCA++ (temperature 1/9); pytorch-metric-learning's is 1.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Relations: `NormalizedSoftmaxLoss` with
    `temperature = 1 / (2 softmax_scale)`.

    Example:

    ```python
    from tensorflow_similarity.losses import ProxyNCALoss

    ProxyNCALoss()([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Movshovitz-Attias et al., *No Fuss Distance Metric Learning using
        Proxies*, ICCV 2017, https://arxiv.org/abs/1703.07464; Teh et al.,
        *ProxyNCA++*, ECCV 2020, https://arxiv.org/abs/2004.01113
    """

    def __init__(
        self, softmax_scale: float = 9.0, name: str = "proxy_nca_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.softmax_scale = checked_positive(softmax_scale, "softmax_scale")
        self.scale = 2 * self.softmax_scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "softmax_scale": self.softmax_scale}
