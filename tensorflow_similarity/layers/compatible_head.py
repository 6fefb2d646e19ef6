"""A head that shows a loss the embeddings of two models of the same examples."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["CompatibleHead"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class CompatibleHead(keras.layers.Layer):
    """Puts the embeddings of an older model beside new ones, for `CompatibleLoss`.

    It goes on top of the embedding while a model is trained. What is indexed afterwards is the
    new embedding: `SimilarityModel` finds that by itself. No gradient reaches the older model.

    Args:
        **kwargs: Any argument of `keras.layers.Layer`, such as `name`.

    Input shape:
        A list of two, `[batch, dim]` each: the new embedding, and that of the older model.

    Output shape:
        `[batch, 2, dim]`: the new embedding, then the older one.

    Raises:
        ValueError: If the two are not of one size: no index can hold both then.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import CompatibleHead, L2Embedding
    from tensorflow_similarity.losses import CompatibleLoss, TripletLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.repeat(np.arange(4), 16)
    old = keras.Sequential([keras.Input((8,)), L2Embedding(3)])
    old.trainable = False

    inputs = keras.Input((8,))
    new = L2Embedding(3)(keras.layers.Dense(16, activation="relu")(inputs))
    training = SimilarityModel(inputs, CompatibleHead()([new, old(inputs, training=False)]))
    training.compile("adam", loss=CompatibleLoss(TripletLoss()))
    training.fit(x, y, verbose=0)

    model = SimilarityModel(inputs, new)  # the same weights, without the older model
    ```
    """

    #: It reads an embedding, the first of its inputs, which is what to index.
    reads_embedding = True
    holds_two_models = True

    def __init__(self, **kwargs: Any) -> None:
        # Half precision of the compute dtype must not round what an index holds.
        super().__init__(autocast=False, **kwargs)

    def check_loss(self, loss: Any) -> None:
        """Refuses a loss that would take the two embeddings for one."""
        if not loss.compares_models:
            raise ValueError(
                "CompatibleLoss and the output of layers.CompatibleHead()([new, old]) belong "
                f"together. Received: {loss!r} on a CompatibleHead."
            )

    def check_model(self, model: keras.Model, node: int) -> None:
        """Refuses a model that would train the older one.

        Args:
            model: The functional model that this layer ends.
            node: The call of this layer in it.
        """
        _, old = self._inbound_nodes[node].input_tensors
        trained = keras.Model(model.inputs, old).trainable_weights
        if trained:
            raise ValueError(
                "The older model of a CompatibleHead must be frozen: set old.trainable = False, "
                "and make its output by old(inputs, training=False). Received: trainable weights "
                f"{[weight.path for weight in trained[:3]]}."
            )

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)

    def call(self, inputs: Any) -> Any:
        new, old = inputs
        wide = self._dtype()
        return ops.stack([ops.cast(new, wide), ops.stop_gradient(ops.cast(old, wide))], axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        self._check(input_shape)
        return (input_shape[0][0], 2, input_shape[0][1])

    def compute_output_spec(self, inputs: Any) -> Any:
        shape = self.compute_output_shape([tuple(one.shape) for one in inputs])
        return keras.KerasTensor(shape, dtype=self._dtype())

    def _dtype(self) -> str:
        return "float64" if self.variable_dtype == "float64" else "float32"

    @staticmethod
    def _check(shapes: Any) -> None:
        two = isinstance(shapes, (list, tuple)) and len(shapes) == 2
        if not two or not all(isinstance(one, (list, tuple)) and len(one) == 2 for one in shapes):
            raise ValueError(
                "CompatibleHead takes two embeddings [batch, dim] in a list: "
                f"CompatibleHead()([new, old]). Received: shapes {shapes}."
            )
        sizes = [one[1] for one in shapes]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                "The new embedding must be of the size of the older one, for one index is to hold "
                f"both. Received: {sizes[0]} and {sizes[1]}."
            )
