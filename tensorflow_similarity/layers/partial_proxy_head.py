"""A layer that owns the proxies of so many classes that no batch can be compared with all."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.layers.proxy_head import ProxyHead

__all__ = ["PartialProxyHead"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class PartialProxyHead(ProxyHead):
    """Proxies of very many classes, of which each batch sees some, for `PartialProxyLoss`.

    It goes on top of the embedding as `ProxyHead` does, and passes the embedding on; the loss
    takes the proxies that it needs from the layer. What is indexed afterwards is the embedding
    below it: `SimilarityModel` finds that by itself.

    Args:
        classes: Positive integer, at most 2**30; class ids are 0 to `classes - 1`.
        proxy_initializer: As for `ProxyHead`.
        learning_rate_multiplier: As for `ProxyHead`.
        **kwargs: Any other argument of `keras.layers.Layer`, such as `name` and `dtype`.

    Input shape:
        `[batch, dim]`.

    Output shape:
        `[batch, dim]`: the embedding in float32 at least, of length 1.

    Raises:
        TypeError, ValueError: If `classes` is no positive integer up to 2**30, or the multiplier
            not above 0.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding, PartialProxyHead
    from tensorflow_similarity.losses import CosFaceLoss, PartialProxyLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.arange(64) * 1_000  # of 100,000 classes

    inputs = keras.Input((8,))
    embedding = L2Embedding(3)(inputs)
    model = SimilarityModel(inputs, PartialProxyHead(classes=100_000)(embedding))
    model.compile("sgd", loss=PartialProxyLoss(CosFaceLoss(), num_negatives=512))
    model.fit(x, y, verbose=0)

    model.index(x, y, verbose=0)  # of the embedding, [64, 3]
    ```
    """

    def check_loss(self, loss: Any) -> None:
        """Refuses a loss that does not take its own sample of the classes."""
        if not loss.samples_classes:
            raise ValueError(
                "PartialProxyLoss and an output of layers.PartialProxyHead belong together. "
                f"Received: {loss!r} on an output of PartialProxyHead."
            )

    def __init__(
        self,
        classes: int,
        proxy_initializer: Any = None,
        learning_rate_multiplier: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            classes,
            proxy_initializer=proxy_initializer,
            learning_rate_multiplier=learning_rate_multiplier,
            **kwargs,
        )
        if self.classes > 2**30:
            raise ValueError(f"`classes` must be at most 2**30. Received: {classes!r}.")

    def proxies_of(self, ids: Tensor) -> Any:
        """The proxies of some classes, of length 1: float32 at least `[n, dim]`.

        Only these rows are read, and on TensorFlow only these have a gradient.

        Args:
            ids: int32 `[n]`.
        """
        stored = ops.take(self._scaled_proxies, ids, axis=0)[:, 0]
        rest = (self.learning_rate_multiplier - 1) * stored
        return unit_rows(ops.cast(stored + ops.stop_gradient(rest), self._wide()))

    def call(self, inputs: Tensor) -> Any:
        return unit_rows(ops.cast(inputs, self._wide()))

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[1])

    def _wide(self) -> str:
        return "float64" if self.variable_dtype == "float64" else "float32"

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer."""
        config = super().get_config()
        for key in ("centers", "proxy_regularizer"):
            del config[key]
        return config
