"""A layer with proxies: trainable vectors that represent classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity._types import Shape, Tensor
from tensorflow_similarity.distances.cosine import unit_rows
from tensorflow_similarity.distances.gradients import products

__all__ = ["ProxyHead"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ProxyHead(keras.layers.Layer):
    """Cosines between embeddings and one or more trainable proxies for each class.

    Put it on top of the embedding to train a model with a loss on proxies:
    `ArcFaceLoss`, `CosFaceLoss`, `SphereFaceLoss`, `SubCenterArcFaceLoss`,
    `NormalizedSoftmaxLoss`, `ProxyNCALoss`, `ProxyAnchorLoss`, `SoftTripleLoss`. The proxies
    are its weights, so `fit` trains and `save` saves them. It needs no labels.
    `SimilarityModel` recognises it, and indexes the embedding below it.

    Embeddings and proxies are normalised here, in float32 at least: the embedding need not
    have length 1, and under `mixed_float16` and `mixed_bfloat16` nothing is rounded to half
    precision.

    Args:
        classes: Positive integer, the number of classes; class ids are 0 to
            `classes - 1`.
        centers: Positive integer, the number of proxies per class. Defaults to 1. With
            several, a class may consist of clusters: see `SubCenterArcFaceLoss`
            and `SoftTripleLoss`.
        proxy_initializer: Initializer of the proxies, `[classes, centers, dim]`.
            Defaults to `None`: random directions of length about 1. Only
            directions matter, but longer proxies turn more slowly.
        learning_rate_multiplier: Factor of the optimizer's learning rate for the
            proxies. Defaults to 1. Use it to move proxies faster than a pretrained
            network. It works with any optimizer, including Adam, under which scaling
            the gradient would have no effect. Weight decay is not multiplied, and
            clipping by norm applies to the variable, see `proxies`.
        proxy_regularizer: A regularizer of the proxies, `[classes, centers, dim]`, such as
            `tensorflow_similarity.regularizers.RegularFace()`. Defaults to `None`.
        **kwargs: Any other argument of `keras.layers.Layer`, such as `name` and
            `dtype`.

    Input shape:
        `[batch, dim]`.

    Output shape:
        `[batch, classes]`, or `[batch, classes, centers]` if `centers > 1`;
        values between -1 and 1, up to rounding.

    Raises:
        TypeError, ValueError: If `classes` or `centers` is not a positive integer,
            or the multiplier is not above 0.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.layers import L2Embedding, ProxyHead
    from tensorflow_similarity.losses import ArcFaceLoss
    from tensorflow_similarity.models import SimilarityModel

    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    y = np.repeat(np.arange(4), 16)

    inputs = keras.Input((8,))
    embedding = L2Embedding(3)(inputs)
    model = SimilarityModel(inputs, ProxyHead(classes=4)(embedding))
    model.compile("adam", loss=ArcFaceLoss(), metrics=["accuracy"])
    model.fit(x, y, verbose=0)

    model.index(x, y, verbose=0)  # of the embedding, [64, 3]
    ```
    """

    #: It reads an embedding, which is what to index.
    reads_embedding = True

    def __init__(
        self,
        classes: int,
        centers: int = 1,
        proxy_initializer: str | keras.Initializer | None = None,
        learning_rate_multiplier: float = 1.0,
        proxy_regularizer: str | keras.Regularizer | None = None,
        **kwargs: Any,
    ) -> None:
        # Half precision of the compute dtype must not reach the cosines.
        super().__init__(autocast=False, **kwargs)
        self.classes = count(classes, "classes")
        self.centers = count(centers, "centers")
        self.proxy_initializer = (
            None if proxy_initializer is None else keras.initializers.get(proxy_initializer)
        )
        self.proxy_regularizer = keras.regularizers.get(proxy_regularizer)
        self.learning_rate_multiplier = float(learning_rate_multiplier)
        if not 0 < self.learning_rate_multiplier < float("inf"):
            raise ValueError(
                "`learning_rate_multiplier` must be finite and above 0. Received: "
                f"{learning_rate_multiplier!r}."
            )
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, input_shape: Shape) -> None:
        dim = input_shape[-1]
        initializer = self.proxy_initializer or keras.initializers.RandomNormal(stddev=dim**-0.5)

        def scaled(shape: Shape, dtype: Any = None) -> Tensor:
            return initializer(shape, dtype=dtype) / self.learning_rate_multiplier

        self._scaled_proxies = self.add_weight(
            shape=(self.classes, self.centers, dim),
            initializer=scaled,
            name="proxies",
            autocast=False,
        )
        self.input_spec = keras.layers.InputSpec(ndim=2, axes={-1: dim})

    @property
    def proxies(self) -> Tensor:
        """The proxies, float `[classes, centers, dim]`; the gradient flows to the variable.

        The variable holds the proxies divided by the multiplier, so that a step of the
        optimizer on it is multiplied here. The gradient of the variable is the unscaled
        gradient of the proxies, so the multiplier applies to the whole step, whatever the
        optimizer.
        """
        stored = ops.convert_to_tensor(self._scaled_proxies)
        if self.learning_rate_multiplier == 1:
            return stored
        rest = (self.learning_rate_multiplier - 1) * stored
        return stored + ops.stop_gradient(rest)

    def call(self, inputs: Tensor) -> Tensor:
        if self.proxy_regularizer is not None:
            self.add_loss(self.proxy_regularizer(self.proxies))
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        proxies = self.proxies
        if self.centers > 1:
            # Losses go through the cosines class by class, which is fast where centers come first.
            proxies = ops.transpose(proxies, (1, 0, 2))
        proxies = ops.reshape(proxies, (self.centers * self.classes, -1))
        proxies = unit_rows(ops.cast(proxies, wide))
        cosines = products(unit_rows(ops.cast(inputs, wide)), proxies)
        if self.centers > 1:
            cosines = ops.reshape(cosines, (-1, self.centers, self.classes))
            cosines = ops.transpose(cosines, (0, 2, 1))
        return cosines

    def compute_output_shape(self, input_shape: Shape) -> tuple[int | None, ...]:
        shape = (input_shape[0], self.classes)
        return shape if self.centers == 1 else (*shape, self.centers)

    def compute_output_spec(self, inputs: Tensor) -> Tensor:
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=wide)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        config = super().get_config()
        initializer = self.proxy_initializer
        return {
            **config,
            "classes": self.classes,
            "centers": self.centers,
            "proxy_initializer": None
            if initializer is None
            else keras.initializers.serialize(initializer),
            "learning_rate_multiplier": self.learning_rate_multiplier,
            "proxy_regularizer": None
            if self.proxy_regularizer is None
            else keras.regularizers.serialize(self.proxy_regularizer),
        }
