"""A dense layer whose rows have length 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.cosine import unit_rows

__all__ = ["L2Embedding", "MetricEmbedding"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class L2Embedding(keras.layers.Dense):
    """Projects onto the unit sphere: `l2_normalize(activation(x @ kernel + bias))`.

    The usual last layer of an embedding model. Rows of zeros stay zeros, and
    gradients are finite everywhere; the gradient of a row of zeros is zero.

    Rows are normalised in float32 at least and returned in the layer's variable
    dtype. Under `mixed_float16` and `mixed_bfloat16` embeddings are therefore
    float32, as Keras advises for the last layer of a model.

    Args:
        units: Positive integer, the embedding size.
        activation: Activation before the normalisation. Defaults to `None`.
        use_bias: Whether to use a bias. Defaults to `True`.
        **kwargs: Any other argument of `keras.layers.Dense`, such as
            `kernel_initializer`, `kernel_regularizer`, `name` and `dtype`.

    Input shape:
        `[batch, ..., dim]`.

    Output shape:
        `[batch, ..., units]`.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import L2Embedding

    rows = L2Embedding(4)(keras.random.normal((2, 8)))
    keras.ops.norm(rows, axis=-1)  # [1., 1.]
    ```
    """

    def __init__(
        self,
        units: int,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        # Keras itself checks this from 3.13 on only.
        if not isinstance(units, int) or units < 1:
            raise ValueError(f"`units` must be a positive integer. Received: {units!r}.")
        super().__init__(units, activation=activation, use_bias=use_bias, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        x = super().call(inputs, training=training)
        # Squares of half precision overflow at 256 and vanish below 2e-4.
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        return ops.cast(unit_rows(ops.cast(x, wide)), self.variable_dtype)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MetricEmbedding(L2Embedding):
    """`L2Embedding` under the name that TensorFlow Similarity 0.13 and later use."""
