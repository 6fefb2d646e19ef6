"""Proxy-Anchor."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.masked import log_one_plus_sum_exp, number_of
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.proxy_loss import ProxyLoss

__all__ = ["ProxyAnchorLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyAnchorLoss(ProxyLoss):
    """Proxy-Anchor: each proxy pulls the hard ones of its class and pushes those of others.

    With c(x, p) the cosine of example x and proxy p,

    `loss = mean over classes p in the batch of
    log(1 + sum over x in p of exp(-alpha (c(x, p) - margin)))
    + mean over all classes p of
    log(1 + sum over x not in p of exp(alpha (c(x, p) + margin)))`.

    Per example, the first term of a class is divided equally among its examples,
    and the second mean is the same for all, scaled so that the mean over the
    batch is this value. `sample_weight` weighs these shares.

    Args:
        margin: The margin, in units of the cosine.
        alpha: How much harder examples count for more.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`.

    Recommended: large batches, of which each class has several examples, and
    `ProxyHead(…, learning_rate_multiplier=100)` on a pretrained network.

    Relations: unlike `ProxyNCALoss`, it compares the examples of a batch with
    each other, through the proxies.

    Example:

    ```python
    from tensorflow_similarity.losses import ProxyAnchorLoss

    loss = ProxyAnchorLoss(margin=0.0, alpha=1.0)
    loss([0, 1], [[0.0, 0.0], [0.0, 0.0]])  # 2 log(2)
    ```

    Reference:
        Kim et al., *Proxy Anchor Loss for Deep Metric Learning*, CVPR 2020,
        https://arxiv.org/abs/2003.13911
    """

    def __init__(
        self,
        margin: float = 0.1,
        alpha: float = 32.0,
        name: str = "proxy_anchor_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        self.alpha = checked_positive(alpha, "alpha")

    def class_losses(self, cosines: Any, targets: Any) -> Any:
        # From here on a row is a proxy, against the examples of the batch.
        rows, members = ops.transpose(cosines), ops.transpose(targets)
        pull = log_one_plus_sum_exp(-self.alpha * (rows - self.margin), members)
        push = log_one_plus_sum_exp(self.alpha * (rows + self.margin), ops.logical_not(members))
        size = number_of(members, cosines.dtype)
        present = ops.sum(ops.cast(size > 0, cosines.dtype))
        batch = ops.sum(ops.cast(ops.any(targets, axis=1), cosines.dtype))
        share = pull * batch / ops.maximum(size * present, 1)
        return ops.sum(ops.where(targets, share[None, :], 0), axis=1) + ops.mean(push)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "alpha": self.alpha}
