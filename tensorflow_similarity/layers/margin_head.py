"""A layer with the trainable boundaries of `MarginLoss`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Shape, Tensor

__all__ = ["MarginHead"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MarginHead(keras.layers.Layer):
    """Appends trainable boundaries to embeddings, for `MarginLoss(beta=None)`.

    Put it on top of the embedding for training, since Keras trains and saves the variables
    of layers but not of losses. `SimilarityModel` recognises it, and indexes the embedding
    below it. Metrics in `compile` get the output including the boundaries; for metrics of
    the embedding, make that a second output.

    Args:
        classes: Positive integer, the number of boundaries: 1, the default, for a common one,
            or the number of classes, whose ids are then 0 to `classes - 1`.
        beta: Initial value of the boundaries, in units of the distance.
        **kwargs: Any other argument of `keras.layers.Layer`, such as `name`.

    Input shape:
        `[batch, dim]`.

    Output shape:
        `[batch, dim + classes]`: the embedding, and the boundaries, the same in every
        row.

    Raises:
        TypeError, ValueError: If `classes` is not a positive integer.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding, MarginHead
    from tensorflow_similarity.losses import MarginLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.repeat(np.arange(4), 16)

    inputs = keras.Input((8,))
    embedding = L2Embedding(3)(inputs)
    model = SimilarityModel(inputs, MarginHead()(embedding))
    model.compile("adam", loss=MarginLoss(beta=None))
    model.fit(x, y, verbose=0)

    model.index(x, y, verbose=0)  # of the embedding, [64, 3]
    ```
    """

    #: It reads an embedding, which is what to index.
    reads_embedding = True

    def __init__(self, classes: int = 1, beta: float = 1.2, **kwargs: Any) -> None:
        # Half precision of the compute dtype would round the boundaries.
        super().__init__(autocast=False, **kwargs)
        self.classes = count(classes, "classes")
        self.beta = float(beta)
        self.input_spec = keras.layers.InputSpec(ndim=2)

    @property
    def boundary_classes(self) -> int:
        """The number of boundaries behind the embedding."""
        return self.classes

    def check_loss(self, loss: Any) -> None:
        """Refuses a loss that would read the boundaries as a part of the embedding."""
        if not loss.reads_head:
            raise ValueError(
                "`loss` must be MarginLoss(beta=None) for an output of layers.MarginHead, whose "
                f"last columns are boundaries and no embedding. Received: {loss!r}."
            )

    def build(self, input_shape: Shape) -> None:
        self.boundaries = self.add_weight(
            shape=(self.classes,),
            initializer=keras.initializers.Constant(self.beta),
            name="boundaries",
            autocast=False,
        )

    def call(self, inputs: Tensor) -> Tensor:
        boundaries = ops.convert_to_tensor(self.boundaries)
        rows = ops.broadcast_to(boundaries[None, :], (ops.shape(inputs)[0], self.classes))
        return ops.concatenate([ops.cast(inputs, boundaries.dtype), rows], axis=1)

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[1] + self.classes)

    def compute_output_spec(self, inputs: Tensor) -> Tensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return {**super().get_config(), "classes": self.classes, "beta": self.beta}
