"""SimSiam loss."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.losses.metric_loss import checked_number
from tensorflow_similarity.losses.two_view_loss import TwoViewLoss

__all__ = ["SimSiamLoss"]

_TYPES = ("negative_cosine_sim", "cosine_distance", "angular_distance")
# The angle has an infinite slope in the cosine at 0 and at 180 degrees.
_LARGEST_COSINE = 1 - 1e-6


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SimSiamLoss(TwoViewLoss):
    """SimSiam: the prediction from one view must point where the other view's projection does.

    `loss_i = f(cos(projector_i, predictor_i)) / 2 + margin`, where f is `-c`,
    `1 - c` or `arccos(c) / pi`. It has no negatives.

    Args:
        projection_type: f: `"negative_cosine_sim"`, `"cosine_distance"` or
            `"angular_distance"`. The first two have the same gradient.
        margin: Added to the loss, without a part in its gradient.
        name: Name of the loss.
        **kwargs: `reduction` and `dtype`, as in Keras.

    Inputs: the projector's output for one view and the predictor's for the
    other, `[batch, dim]` each. As in the paper, stop the gradient of the
    projector's output (`keras.ops.stop_gradient`), without which all embeddings
    become one; and add the loss of the exchanged views.

    Recommended: no regulariser on the predictor, and its learning rate constant.

    Relations: `BarlowTwinsLoss` and `VICRegLoss` need no stopped gradient.

    Raises:
        ValueError: If `projection_type` is none of these.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import SimSiamLoss

    loss = SimSiamLoss(projection_type="cosine_distance", margin=0.0)
    projection, prediction = keras.ops.ones((2, 3)), keras.ops.zeros((2, 3))
    loss(keras.ops.stop_gradient(projection), prediction)  # 0.5
    ```

    Reference:
        Chen and He, *Exploring Simple Siamese Representation Learning*, CVPR
        2021, https://arxiv.org/abs/2011.10566
    """

    def __init__(
        self,
        projection_type: str = "negative_cosine_sim",
        margin: float = 0.001,
        name: str = "simsiam_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if projection_type not in _TYPES:
            raise ValueError(
                f"`projection_type` must be one of {list(_TYPES)}. Received: {projection_type!r}."
            )
        self.projection_type = projection_type
        self.margin = checked_number(margin, "margin")

    def call(self, za: Any, zb: Any) -> Any:
        cosine = ops.sum(unit_rows(za) * unit_rows(zb), axis=-1)
        if self.projection_type == "negative_cosine_sim":
            value = -cosine
        elif self.projection_type == "cosine_distance":
            value = 1 - cosine
        else:
            cosine = ops.clip(cosine, -_LARGEST_COSINE, _LARGEST_COSINE)
            value = ops.arccos(cosine) / math.pi
        return value / 2 + self.margin

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "projection_type": self.projection_type,
            "margin": self.margin,
        }
