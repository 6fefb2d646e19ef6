"""Learning from two views of each example, without labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import _old_names
from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.losses.base import parts_of
from tensorflow_similarity.models.paired_model import PairedModel, checked_layer, embedding_size
from tensorflow_similarity.models.registered_losses import registered_loss

__all__ = ["ContrastiveModel"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ContrastiveModel(PairedModel):
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

    parts = ("backbone", "projector", "predictor", "augmenter")

    @_old_names.explains_arguments("ContrastiveModel")
    def __init__(
        self,
        backbone: keras.Model,
        projector: keras.Layer | None = None,
        predictor: keras.Layer | None = None,
        augmenter: keras.Layer | None = None,
        momentum: float | None = None,
        name: str | None = None,
    ) -> None:
        checked_layer(backbone, "backbone")
        for argument, value in (
            ("projector", projector),
            ("predictor", predictor),
            ("augmenter", augmenter),
        ):
            checked_layer(value, argument, optional=True)
        if momentum is not None and not 0 <= checks.number(momentum, "momentum") < 1:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: {momentum!r}.")
        shape = (None, embedding_size(backbone, "backbone"))
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
        self.built = True

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: object = None,
        *args: Any,
        distance: DistanceLike = "cosine",
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

        Warns:
            UserWarning: If the model lacks what keeps embeddings apart with this loss.
        """
        loss = registered_loss(loss)
        if not getattr(loss, "takes_views", False):
            raise TypeError(
                "`loss` must be a loss on two views, such as SimCLRLoss(). "
                f"Received: {loss!r}. For losses on labels use SimilarityModel."
            )
        for part in parts_of(loss):
            required = getattr(part, "required", None)
            if required is not None and getattr(self, required) is None:
                warnings.warn(
                    f"{type(part).__name__} keeps no examples apart: without `{required}` all "
                    f"embeddings become one. Pass ContrastiveModel({required}=...), or take a loss "
                    "such as SimCLRLoss() or VICRegLoss().",
                    stacklevel=levels_to_the_caller(),
                )
        self._step_loss = loss
        super().compile(optimizer, None, *args, distance=distance, **kwargs)

    def call_outside(self, inputs: object, training: bool) -> Any:
        return self.backbone(inputs, training=training)

    def call_in_step(self, inputs: Any, training: bool) -> Any:
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

    def _through(self, layers: list[Any], x: object, training: bool) -> Any:
        for layer in layers:
            if layer is not None:
                x = layer(x, training=training)
        return x

    def step_loss(
        self, inputs: object, outputs: Any, sample_weight: Tensor | None, training: bool
    ) -> Tensor:
        (first, second), target = outputs["online"], outputs["target"]
        loss = self._step_loss
        if self.predictor is None and not self._averaged:
            value = loss(first, second, sample_weight=sample_weight)
        else:
            # The side without a gradient takes the place of the labels.
            constant = [ops.stop_gradient(each) for each in target]
            value = (
                loss(constant[1], first, sample_weight=sample_weight)
                + loss(constant[0], second, sample_weight=sample_weight)
            ) / 2
        if training and self._averaged:
            self._move_average()
        return value

    def _move_average(self) -> None:
        momentum = float(self.momentum or 0)
        online = [each for each in (self.backbone, self.projector) if each is not None]
        for average, source in zip(self._averaged, online, strict=True):
            for kept, variable in zip(average.weights, source.weights, strict=True):
                if keras.backend.is_float_dtype(kept.dtype):
                    moved = momentum * kept + (1 - momentum) * ops.cast(
                        ops.convert_to_tensor(variable), kept.dtype
                    )
                    kept.assign(ops.stop_gradient(moved))

    def step_inputs(self, x: object, y: object) -> Any:
        if (y is None) != (self.augmenter is not None):
            raise ValueError(
                "ContrastiveModel.fit takes examples alone, fit(x), with an `augmenter`, and both "
                "views, fit(first, second), without one. Received: "
                f"{'examples alone' if y is None else 'two arguments'}, and "
                f"augmenter={self.augmenter!r}."
            )
        return x if y is None else (x, y)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal model, with fresh averages."""
        return {**super().get_config(), "momentum": self.momentum}


def _copy(layer: Any) -> Any:
    """A layer with the same weights, which is not trained."""
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(config)
    if not copy.built:
        copy.build_from_config(layer.get_build_config() or {})
    copy.set_weights(layer.get_weights())
    copy.trainable = False
    return copy


if not TYPE_CHECKING:  # Names that older libraries had in this module.
    __getattr__ = _old_names.of(__name__)
