"""The base of the losses on two views of a batch."""

from __future__ import annotations

from typing import Any

from tensorflow_similarity.losses.per_example_loss import PerExampleLoss, wide_float

__all__ = ["TwoViewLoss"]


class TwoViewLoss(PerExampleLoss):
    """Base of the losses on two views of the same examples, row by row: no labels.

    A subclass writes `call(za, zb)`, which returns one loss for each example.
    Calling it takes the embeddings of one view in the place of `y_true` and those
    of the other in that of `y_pred`, `[batch, dim]` each; both get gradients. They
    are computed in float32 at least, and in float64 where both are that.

    Raises:
        ValueError: If they are not `[batch, dim]`, or not of one shape.

    Example:

    ```python
    import keras
    from tensorflow_similarity.losses import TwoViewLoss

    @keras.saving.register_keras_serializable(package="mine")
    class InvarianceLoss(TwoViewLoss):
        '''The squared distance of the two views.'''

        def call(self, za, zb):
            return keras.ops.sum(keras.ops.square(za - zb), axis=1)

    InvarianceLoss()([[0.0, 0.0], [1.0, 1.0]], [[3.0, 4.0], [1.0, 1.0]])  # 12.5
    ```
    """

    def checked_predictions(self, y_pred: Any) -> Any:
        return _checked_view(y_pred, "y_pred", self)

    def checked_labels(self, y_true: Any, batch: Any) -> Any:
        return _checked_view(y_true, "y_true", self)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        shapes = tuple(getattr(y_true, "shape", ())), tuple(getattr(y_pred, "shape", ()))
        known = all(len(shape) == 2 and None not in shape for shape in shapes)
        if known and shapes[0] != shapes[1]:
            raise ValueError(
                f"{type(self).__name__} takes two views of the same examples, of one shape "
                f"[batch, dim]. Received: shapes {shapes[0]} and {shapes[1]}."
            )
        return super().__call__(y_true, y_pred, sample_weight)


def _checked_view(z: Any, name: str, loss: Any) -> Any:
    z = wide_float(z)
    if len(z.shape) != 2:
        raise ValueError(
            f"`{name}` must be the embeddings of a view, [batch, dim], for "
            f"{type(loss).__name__}, which takes two views and no labels. "
            f"Received: shape {tuple(z.shape)}."
        )
    return z
