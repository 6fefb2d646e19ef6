"""`XBM` of TensorFlow Similarity."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.losses import CrossBatchMemory, phase

__all__ = ["XBM"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class XBM(CrossBatchMemory):
    """`losses.CrossBatchMemory` with the arguments and the values of TensorFlow Similarity.

    The loss is that of the batch against the memory alone: `batch_loss=False`. Unlike the
    original, evaluation neither reads nor writes the memory.

    Args:
        loss: A loss on pairs of embeddings, such as `losses.MultiSimilarityLoss()`.
        memory_size: How many embeddings there are to compare with, the batch included.
        warmup_steps: Steps of training before anything is put into the memory. Defaults to 0.
        reduction: As in Keras; `"auto"`, Keras 2's default, is `"sum_over_batch_size"`.
        name: Name of the loss.

    Compile a `SimilarityModel` with it. Called by itself and eagerly, each call is a step of
    training, as in the original.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import XBM
    from tensorflow_similarity.losses import MultiSimilarityLoss

    loss = XBM(MultiSimilarityLoss(), memory_size=64, warmup_steps=2)
    loss([0, 0, 1], [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    ```
    """

    def __init__(
        self,
        loss: object,
        memory_size: int,
        warmup_steps: int = 0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(loss, memory_size, warmup_steps, name=name or "xbm", batch_loss=False)
        self.reduction = "sum_over_batch_size" if reduction == "auto" else reduction

    def __call__(
        self,
        y_true: Tensor,
        y_pred: Tensor,
        sample_weight: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        if training is None and phase.current() is None and tf.executing_eagerly():
            training = True
        return super().__call__(y_true, y_pred, sample_weight, training=training)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss, with an empty memory; JSON-able."""
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "memory_size": self.memory_size,
            "warmup_steps": self.warmup_steps,
            "reduction": self.reduction,
            "name": self.name,
        }
