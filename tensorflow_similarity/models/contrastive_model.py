"""Learning from two views of each example, without labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from tensorflow_similarity.losses import TwoViewLoss
from tensorflow_similarity.models.similarity_model import SimilarityModel

__all__ = ["ContrastiveModel"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ContrastiveModel(SimilarityModel):
    """Trains a backbone on two views of each example, without labels; indexes its embeddings.

    In training, both views go through the backbone and the projector, and a loss on two views
    compares them. Everywhere else the model is its backbone: `predict`, `index`, `lookup` and
    all other methods of `SimilarityModel` work on the backbone's output, as the projector is
    of use in training only.

    | method | loss | projector | predictor | momentum |
    |---|---|---|---|---|
    | SimCLR | `SimCLRLoss()` | yes | | |
    | Barlow Twins | `BarlowTwinsLoss()` | yes | | |
    | VICReg | `VICRegLoss()` | yes | | |
    | SimSiam | `SimSiamLoss()` | yes | yes | |
    | BYOL | `SimSiamLoss()` | yes | yes | 0.99 |
    | MoCo (v3) | `InfoNCELoss()` | yes | yes | 0.99 |
    | DINO | `DINOLoss()` | yes | | 0.996 |

    Args:
        backbone: A model from inputs to embeddings `[batch, dim]`, whose shapes are known.
        projector: A layer or model after the backbone. Defaults to `None`: the loss sees the
            embeddings themselves.
        predictor: A layer or model after the projector, on one side only. The other side is then
            a constant to the gradient. Defaults to `None`.
        augmenter: A layer or model that makes a random view of a batch. `fit(x)` then makes the
            two views itself. Defaults to `None`: `fit` is given both, as `fit(first, second)` or
            a dataset of such pairs.
        momentum: How much of it the momentum encoder keeps in a step, between 0 and 1: a moving
            average of backbone and projector, which embeds the side that is a constant. Defaults
            to `None`: there is no such encoder.
        name: The name of the model.

    The loss is the mean over both directions where the sides differ. Each side of a momentum
    encoder is embedded in training mode, like the other.

    Raises:
        TypeError: If an argument is not a layer, or the loss is not one on two views.
        ValueError: If the backbone's output is not `[batch, dim]`, `momentum` is out of range, or
            `fit` gets no second view, or one too many.

    Example:

    ```python
    import keras
    import numpy as np
    from tensorflow_similarity.losses import SimCLRLoss
    from tensorflow_similarity.models import ContrastiveModel

    x = np.random.default_rng(0).random((64, 12, 12, 1)).astype("float32")
    backbone = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(16),
        ]
    )
    model = ContrastiveModel(
        backbone,
        projector=keras.layers.Dense(8),
        augmenter=keras.layers.RandomTranslation(0.1, 0.1),
    )
    model.compile("adam", loss=SimCLRLoss(temperature=0.2))
    model.fit(x, epochs=1, verbose=0)
    model.index(x, data=x, verbose=0)
    model.lookup(x[:2], k=3, verbose=0)
    ```

    Reference:
        Chen et al., *A Simple Framework for Contrastive Learning of Visual Representations*, ICML
        2020, https://arxiv.org/abs/2002.05709; Grill et al., *Bootstrap Your Own Latent*, NeurIPS
        2020, https://arxiv.org/abs/2006.07733
    """

    def __init__(
        self,
        backbone: keras.Model,
        projector: keras.Layer | None = None,
        predictor: keras.Layer | None = None,
        augmenter: keras.Layer | None = None,
        momentum: float | None = None,
        name: str | None = None,
    ) -> None:
        for argument, value in (
            ("backbone", backbone),
            ("projector", projector),
            ("predictor", predictor),
            ("augmenter", augmenter),
        ):
            if not isinstance(value, keras.Layer) and not (
                value is None and argument != "backbone"
            ):
                raise TypeError(
                    f"`{argument}` must be a Keras layer or model. Received: {value!r}."
                )
        if momentum is not None and not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: {momentum!r}.")
        shape = getattr(backbone, "output_shape", None)
        if not backbone.built or not isinstance(shape, tuple) or len(shape) != 2:
            raise ValueError(
                "`backbone` must have one output of shape [batch, dim] and be built: start it with "
                f"keras.Input(shape). Received: output shape {shape}."
            )
        super().__init__(name=name)
        self.backbone = backbone
        self.projector = projector
        self.predictor = predictor
        self.augmenter = augmenter
        self.momentum = momentum
        for layer in (projector, predictor):
            if layer is not None:
                if not layer.built:
                    layer.build(shape)
                shape = tuple(layer.compute_output_shape(shape))
        self._averaged: list[Any] = []
        if momentum is not None:
            self._averaged = [_copy(each) for each in (backbone, projector) if each is not None]
        self._view_loss: TwoViewLoss | None = None
        self._in_step = False
        self.built = True

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *args: Any,
        distance: Any = "cosine",
        **kwargs: Any,
    ) -> None:
        """Configures training on two views, and the index of the backbone's embeddings.

        Args:
            optimizer: As in Keras.
            loss: A loss on two views, such as `SimCLRLoss()`.
            *args: Further arguments of `keras.Model.compile`.
            distance: The distance of the index. Defaults to `"cosine"`.
            **kwargs: Further arguments of `SimilarityModel.compile`.

        Raises:
            TypeError: If `loss` is not a loss on two views.
        """
        if isinstance(loss, type) and issubclass(loss, TwoViewLoss):
            loss = loss()
        if not isinstance(loss, TwoViewLoss):
            raise TypeError(
                "`loss` must be a loss on two views, such as SimCLRLoss(). "
                f"Received: {loss!r}. For losses on labels use SimilarityModel."
            )
        self._view_loss = loss
        super().compile(optimizer, None, *args, distance=distance, **kwargs)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The backbone's embeddings; within a step of training, what the loss compares."""
        if not self._in_step:
            return self.backbone(inputs, training=training)
        if self.augmenter is None:
            views = list(inputs)
        else:
            views = [self.augmenter(inputs, training=True) for _ in range(2)]
        online = [self._through([self.backbone, self.projector], view, training) for view in views]
        target = online
        if self._averaged:
            target = [self._through(self._averaged, view, training) for view in views]
        if self.predictor is not None:
            online = [self.predictor(each, training=training) for each in online]
        return {"online": online, "target": target}

    def _through(self, layers: list[Any], x: Any, training: bool) -> Any:
        for layer in layers:
            if layer is not None:
                x = layer(x, training=training)
        return x

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss between the two views."""
        if not self._in_step or self._view_loss is None:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        (first, second), target = y_pred["online"], y_pred["target"]
        loss = self._view_loss
        if self.predictor is None and not self._averaged:
            value = loss(first, second, sample_weight=sample_weight)
        else:
            # The side that is a constant takes the place of the labels.
            constant = [ops.stop_gradient(each) for each in target]
            value = (
                loss(constant[1], first, sample_weight=sample_weight)
                + loss(constant[0], second, sample_weight=sample_weight)
            ) / 2
        if training and self._averaged:
            self._move_average()
        for added in self.losses:
            value = value + ops.sum(ops.cast(added, value.dtype))
        return value

    def _move_average(self) -> None:
        online = [each for each in (self.backbone, self.projector) if each is not None]
        for average, source in zip(self._averaged, online, strict=True):
            for kept, variable in zip(average.weights, source.weights, strict=True):
                if keras.backend.is_float_dtype(kept.dtype):
                    moved = self.momentum * kept + (1 - self.momentum) * ops.cast(
                        ops.convert_to_tensor(variable), kept.dtype
                    )
                    kept.assign(ops.stop_gradient(moved))

    def train_step(self, *args: Any) -> Any:
        """As `keras.Model.train_step`, on two views."""
        *state, data = args
        with self._step():
            return super().train_step(*state, self._views_of(data))

    def test_step(self, *args: Any) -> Any:
        """As `keras.Model.test_step`, on two views."""
        *state, data = args
        with self._step():
            return super().test_step(*state, self._views_of(data))

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False

    def _views_of(self, data: Any) -> tuple[Any, Any, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if (y is None) != (self.augmenter is not None):
            raise ValueError(
                "ContrastiveModel.fit takes examples alone, fit(x), with an `augmenter`, and both "
                "views, fit(first, second), without one. Received: "
                f"{'examples alone' if y is None else 'two arguments'}, and "
                f"augmenter={self.augmenter!r}."
            )
        return (x if y is None else (x, y)), None, sample_weight

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal model, with fresh averages."""
        layers = {
            name: None if layer is None else keras.saving.serialize_keras_object(layer)
            for name, layer in (
                ("backbone", self.backbone),
                ("projector", self.projector),
                ("predictor", self.predictor),
                ("augmenter", self.augmenter),
            )
        }
        return {**layers, "momentum": self.momentum, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ContrastiveModel:
        """Makes a model from its config."""
        config = {
            name: keras.saving.deserialize_keras_object(value, custom_objects)
            if isinstance(value, dict)
            else value
            for name, value in config.items()
        }
        return cls(**config)

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of `compile`, for saving."""
        config = super().get_compile_config()
        if config and self._view_loss is not None:
            config["loss"] = keras.saving.serialize_keras_object(self._view_loss)
        return config


def _copy(layer: Any) -> Any:
    """A layer with the same weights, which is not trained."""
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    if not copy.built:
        copy.build_from_config(layer.get_build_config() or {})
    copy.set_weights(layer.get_weights())
    copy.trainable = False
    return copy
