"""A layer that owns the boundaries of `MarginLoss`."""

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

    It goes on top of the embedding while a model is trained: Keras trains and saves
    the variables of layers, not those of a loss. What is indexed afterwards is the
    embedding below it: `SimilarityModel` finds that by itself. Metrics in `compile`
    see what the loss sees, boundaries included: for metrics of the embedding make it
    a second output.

    Args:
        classes: Positive integer: 1, the default, for one boundary; or one for each
            of so many classes, whose ids are 0 to `classes - 1`.
        beta: Where the boundaries start, in units of the distance.
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

    def __init__(self, classes: int = 1, beta: float = 1.2, **kwargs: Any) -> None:
        # Half precision of the compute dtype would round the boundaries.
        super().__init__(autocast=False, **kwargs)
        self.classes = count(classes, "classes")
        self.beta = float(beta)
        self.input_spec = keras.layers.InputSpec(ndim=2)

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
        """The arguments that make an equal layer."""
        return {**super().get_config(), "classes": self.classes, "beta": self.beta}
