"""A layer that truncates embeddings to their first coordinates."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count, flag
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.cosine import unit_rows

__all__ = ["EmbeddingPrefix"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class EmbeddingPrefix(keras.layers.Layer):
    """Truncates embeddings to their first coordinates, and normalises them again.

    For models trained with `tensorflow_similarity.losses.MatryoshkaLoss`: shorter embeddings
    take less memory and search time.

    Args:
        size: Number of coordinates to keep.
        normalize: Whether to scale them to length 1. Defaults to `True`.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Inputs: `[..., dim]`, with a dim of at least `size`. Outputs: `[..., size]`.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import EmbeddingPrefix, L2Embedding
    from tensorflow_similarity.models import SimilarityModel

    inputs = keras.Input((8,))
    embedding = L2Embedding(64)(inputs)
    trained = SimilarityModel(inputs, embedding)
    small = SimilarityModel(inputs, EmbeddingPrefix(16)(embedding))  # the same weights
    small.create_index("cosine")
    small.output_shape[1]  # 16
    ```
    """

    def __init__(self, size: int, normalize: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = count(size, "size")
        self.normalize = flag(normalize, "normalize")

    def build(self, input_shape: Shape) -> None:
        """Checks that there are enough coordinates."""
        if input_shape[-1] is not None and input_shape[-1] < self.size:
            raise ValueError(
                f"`size` must be at most the size of the embeddings. Received: {self.size} for "
                f"embeddings of shape {tuple(input_shape)}."
            )
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        """The first coordinates, `[..., size]`."""
        prefix = inputs[..., : self.size]
        if not self.normalize:
            return prefix
        # Half precision would round the length.
        unit = unit_rows(ops.cast(prefix, keras.backend.result_type(prefix.dtype, "float32")))
        return ops.cast(unit, prefix.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """The shape of the inputs with `size` at its end."""
        return (*input_shape[:-1], self.size)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return {**super().get_config(), "size": self.size, "normalize": self.normalize}
