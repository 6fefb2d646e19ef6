"""ArcFace: a margin on the angle to the own class."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.proxy_loss import SoftmaxProxyLoss

__all__ = ["ArcFaceLoss", "SubCenterArcFaceLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ArcFaceLoss(SoftmaxProxyLoss):
    """ArcFace: softmax over cosines to proxies, where the own class must win by an angle.

    With θ the angle to the proxy of the own class and c_j the cosines to others,
    `loss = -log(exp(scale t) / (exp(scale t) + sum over other classes j of
    exp(scale c_j)))`, where `t = cos(θ + margin)`.

    Beyond `θ + margin = π` the cosine would rise again: there
    `t = cos(θ) - margin sin(margin)`, which keeps falling, as in the authors'
    code and in pytorch-metric-learning; at that angle t steps from -1 to
    `-cos(margin) - margin sin(margin)`. No arc cosine is taken, and gradients are
    finite at θ = 0 and θ = π.

    Args:
        margin: The margin, an angle in radians, at least 0 and below π. The
            default is the paper's, 28.6 degrees; for m degrees pass
            `math.radians(m)`.
        scale: What cosines are multiplied with for the softmax.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes]` from `layers.ProxyHead`, or `[batch, classes, centers]`,
    see `SubCenterArcFaceLoss`.

    Recommended: fixed classes with many examples of each, as for faces. To
    retrieve classes that were not trained on with a small network, compare it with
    `NormalizedSoftmaxLoss`, which is easier to train from scratch.

    Relations: `CosFaceLoss` has the margin on the cosine, `SphereFaceLoss`
    multiplies the angle.

    Example:

    ```python
    from tensorflow_similarity.losses import ArcFaceLoss

    ArcFaceLoss(margin=0.0)([0], [[0.5, 0.5]])  # log(2)
    ```

    Reference:
        Deng et al., *ArcFace: Additive Angular Margin Loss for Deep Face
        Recognition*, CVPR 2019, https://arxiv.org/abs/1801.07698
    """

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        name: str = "arcface_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.margin = checked_number(margin, "margin")
        if not 0 <= self.margin < math.pi:
            raise ValueError(
                "`margin` must be an angle in radians, at least 0 and below pi. Received: "
                f"{margin!r}. For degrees pass math.radians(margin)."
            )
        self.scale = checked_positive(scale, "scale")

    def own_class(self, cosines: Any) -> Any:
        # 1 - c^2, where c may have been rounded beyond 1. The root has no
        # gradient at 0; there the embedding's, through the cosine, is 0 too.
        squares = (1 - cosines) * (1 + cosines)
        inside = squares > 0
        sines = ops.where(inside, ops.sqrt(ops.where(inside, squares, 1)), 0)
        turned = cosines * math.cos(self.margin) - sines * math.sin(self.margin)
        beyond = cosines - self.margin * math.sin(self.margin)
        return ops.where(cosines >= math.cos(math.pi - self.margin), turned, beyond)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margin": self.margin, "scale": self.scale}


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SubCenterArcFaceLoss(ArcFaceLoss):
    """Sub-center ArcFace: each class has several proxies, of which the nearest counts.

    The loss is that of `ArcFaceLoss`, on the largest of the cosines to the
    proxies of each class, so a class may be made of clusters, and mislabelled
    examples gather around a proxy of their own instead of bending the class.

    Args:
        margin: The margin, an angle in radians, see `ArcFaceLoss`.
        scale: What cosines are multiplied with for the softmax.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, see `ProxyLoss`.

    Inputs: `y_true` integer class ids `[batch]`; `y_pred` cosines
    `[batch, classes, centers]` from `layers.ProxyHead(classes, centers=3)`.

    Recommended: 3 centers a class, for noisy labels.

    Relations: `ArcFaceLoss`, which takes the same input; this name insists on
    several centers.

    Example:

    ```python
    from tensorflow_similarity.losses import SubCenterArcFaceLoss

    loss = SubCenterArcFaceLoss(margin=0.0)
    loss([0], [[[-0.9, 0.5], [0.5, -0.2]]])  # log(2)
    ```

    Reference:
        Deng et al., *Sub-center ArcFace: Boosting Face Recognition by
        Large-scale Noisy Web Faces*, ECCV 2020,
        https://www.ecva.net/papers/eccv_2020/papers_ECCV/papers/123560715.pdf
    """

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        name: str = "sub_center_arcface_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(margin=margin, scale=scale, name=name, **kwargs)

    def checked_predictions(self, y_pred: Any) -> Any:
        return several_centers(super().checked_predictions(y_pred), type(self).__name__)


def several_centers(y_pred: Any, loss: str) -> Any:
    """Returns cosines `[batch, classes, centers]`, or an error that tells how to get them."""
    if len(y_pred.shape) != 3:
        raise ValueError(
            f"`y_pred` must be cosines of shape [batch, classes, centers] for {loss}: give the "
            f"ProxyHead several centers, e.g. ProxyHead(classes, centers=3). Received: shape "
            f"{tuple(y_pred.shape)}."
        )
    return y_pred
