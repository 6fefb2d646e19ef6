"""Backward-compatible training: new queries are compared with the keys of an older model, too."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.losses.arguments import checked_positive
from tensorflow_similarity.losses.base import LossAroundAnother, PerExampleLoss, wide_float
from tensorflow_similarity.losses.metric_loss import checked_metric_loss

__all__ = ["CompatibleLoss"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CompatibleLoss(LossAroundAnother):
    """Backward-compatible training: a model whose queries search the index of an older model.

    `loss_i = loss(new_i, new) + weight * loss(new_i, old)`: the loss of each query against the
    new embeddings of the batch, and against those that an older model gives the same examples.
    Among the latter, the query's own is one of its positives.

    Records of the older model then stay as they are when the new one is deployed, and need not
    be embedded again; `SimilarityModel.compatible_with` measures what that costs.

    Args:
        loss: A loss on pairs of embeddings, a `MetricLoss` such as `TripletLoss()`.
        weight: The weight of the comparison with the older model, above 0. The larger, the
            more alike the two spaces, and the less the new model may improve on the old one.
        name: Name of the loss.

    Inputs: `y_true` what `loss` takes; `y_pred` `[batch, 2, dim]` from `layers.CompatibleHead`:
    the new embeddings, then those of the older model, which get no gradient. The reduction is
    that of `loss`.

    Requirements: embeddings of the size of the older model's, and labels that mean what its
    did. Weights of the new model may start anywhere.

    Recommended: the loss and the distance that the older model was trained with.

    Relations: the influence loss of the first paper below compares with the older model's
    classifier, where this compares with its embeddings, which any model has, as the second
    does. `EmbeddingDistillationLoss` needs no labels, and copies the older space whole.

    Raises:
        TypeError: If `loss` is no `MetricLoss`.
        ValueError: If it takes pairwise values or the boundaries of a head, or `y_pred` is not
            `[batch, 2, dim]`.

    Example:

    ```python
    from tensorflow_similarity.losses import CompatibleLoss, TripletLoss

    loss = CompatibleLoss(TripletLoss("euclidean", margin=1.0))
    new, old = [[0.0], [1.0], [3.0]], [[0.0], [3.0], [3.0]]
    loss([0, 1, 0], [list(pair) for pair in zip(new, old)])  # (3 + 0 + 2 + 1 + 1 + 4) / 3
    ```

    References:
        Shen et al., *Towards Backward-Compatible Representation Learning*, CVPR 2020,
        https://arxiv.org/abs/2003.11942; Budnik and Avrithis, *Asymmetric Metric Learning for
        Knowledge Transfer*, CVPR 2021, https://arxiv.org/abs/2006.16331
    """

    compares_models = True

    def __init__(self, loss: Any, weight: float = 1.0, name: str = "compatible_loss") -> None:
        loss = checked_metric_loss(loss)
        if loss.distance is None or loss.reads_head:
            raise ValueError(
                "`loss` must form pairs of embeddings itself, and take nothing of a head. "
                f"Received: {loss!r}."
            )
        super().__init__(name=name, reduction=loss.reduction, across_replicas=loss.across_replicas)
        self.loss = loss
        self.weight = checked_positive(weight, "weight")
        self.ignore_class = loss.ignore_class

    def bind(self, head: object) -> None:
        if not getattr(head, "holds_two_models", False):
            raise ValueError(
                "CompatibleLoss and the output of layers.CompatibleHead()([new, old]) belong "
                f"together. Received: {self!r} on an output of another layer."
            )

    @property
    def distance(self) -> distances.Distance | None:
        """The distance of the loss within."""
        return self.loss.distance

    def parts(self) -> tuple[PerExampleLoss, ...]:
        return (self, *self.loss.parts())

    def checked_predictions(self, y_pred: Any) -> Tensor:
        """Both embeddings `[batch, 2, dim]` as a tensor of float32, or float64 if they are that.

        Raises:
            ValueError: If they are of another shape.
        """
        y_pred = wide_float(y_pred)
        if len(y_pred.shape) != 3 or y_pred.shape[1] != 2:
            raise ValueError(
                "`y_pred` must be embeddings of two models, [batch, 2, dim]: end the model in "
                "layers.CompatibleHead()([new, old(inputs, training=False)]). Received: shape "
                f"{tuple(y_pred.shape)}."
            )
        return y_pred

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each example of a batch: `[batch]`."""
        batch = self.loss.compare(y_true, y_pred[:, 0])
        older = batch.with_key_outputs(ops.stop_gradient(y_pred[:, 1]))
        return self.loss.losses(batch) + self.weight * self.loss.losses(older)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments, as JSON-serialisable values."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "weight": self.weight,
            "name": self.name,
        }

    def __repr__(self) -> str:
        return f"CompatibleLoss({self.loss!r}, weight={self.weight})"
