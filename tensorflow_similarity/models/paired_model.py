"""Models whose loss compares two sides of a batch: two views, or queries and candidates."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.models.similarity_model import SimilarityModel

__all__ = ["PairedModel", "checked_layer", "embedding_size"]

_Model = TypeVar("_Model", bound="PairedModel")


class PairedModel(SimilarityModel):
    """Base of the models that embed both sides in a step, and one side everywhere else.

    Keras' own steps are used, on all backends: within a step, `call` returns what the loss
    compares, and `compute_loss` compares it. A subclass writes `call_outside`,
    `call_in_step`, `step_inputs` and `step_loss`.
    """

    #: Names of the arguments of the constructor that are layers or models.
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name)
        self._step_loss: Any = None
        self._in_step = False

    def call_outside(self, inputs: object, training: bool) -> Any:
        """The embeddings that are indexed, looked up and predicted."""
        raise NotImplementedError

    def call_in_step(self, inputs: object, training: bool) -> Any:
        """Everything that the loss compares, each `[batch, ...]`."""
        raise NotImplementedError

    def step_inputs(self, x: object, y: object) -> Any:
        """The inputs of a step, built from the arguments of `fit`."""
        raise NotImplementedError

    def step_loss(
        self, inputs: object, outputs: Any, sample_weight: Tensor | None, training: bool
    ) -> Tensor:
        """The loss of a step, from its inputs and what `call_in_step` returned."""
        raise NotImplementedError

    def call(self, inputs: object, training: bool = False) -> Tensor:
        """Embeddings; within a step of training or evaluation, all that the loss compares."""
        if self._in_step:
            return self.call_in_step(inputs, training)
        return self.call_outside(inputs, training)

    def compute_loss(
        self,
        x: Any = None,
        y: object = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The loss between the two sides, and what layers add to it."""
        if not self._in_step:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        value = self.step_loss(x, y_pred, sample_weight, training)
        for added in self.losses:
            value = value + ops.sum(ops.cast(added, value.dtype))
        return value

    def train_step(self, *args: Any) -> Any:
        """As `keras.Model.train_step`."""
        return self._stepped(super().train_step, args)

    def test_step(self, *args: Any) -> Any:
        """As `keras.Model.test_step`."""
        return self._stepped(super().test_step, args)

    def _stepped(self, step: Any, args: tuple[Any, ...]) -> Any:
        # The data is the last argument; with JAX, the state precedes it.
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            # Keras repeats the weights of the examples for each array in `y`.
            sample_weight = keras.tree.flatten(sample_weight)[0]
        with self._step():
            return step(*state, (self.step_inputs(x, y), None, sample_weight))

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        self._in_step = True
        try:
            yield
        finally:
            self._in_step = False

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal model."""
        config: dict[str, Any] = {"name": self.name}
        for part in self.parts:
            layer = getattr(self, part)
            config[part] = None if layer is None else keras.saving.serialize_keras_object(layer)
        return config

    @classmethod
    def from_config(
        cls: type[_Model], config: dict[str, Any], custom_objects: Any = None
    ) -> _Model:
        """Makes a model from its config."""
        made = {
            name: keras.saving.deserialize_keras_object(value, custom_objects)
            if name in cls.parts and value is not None
            else value
            for name, value in config.items()
        }
        return cls(**made)

    def get_compile_config(self) -> dict[str, Any]:
        """The arguments of `compile`, for saving."""
        config = super().get_compile_config()
        if config and self._step_loss is not None:
            config["loss"] = keras.saving.serialize_keras_object(self._step_loss)
        return config


def checked_layer(value: object, argument: str, optional: bool = False) -> Any:
    """Returns a Keras layer or model, or raises an error that names the argument."""
    if not isinstance(value, keras.Layer) and not (optional and value is None):
        raise TypeError(f"`{argument}` must be a Keras layer or model. Received: {value!r}.")
    return value


def embedding_size(model: keras.Model, argument: str) -> int | None:
    """The size of a model's one output `[batch, dim]`, or an error that names the argument."""
    shape = getattr(model, "output_shape", None) if model.built else None
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            f"`{argument}` must have one output of shape [batch, dim] and be built: start it with "
            f"keras.Input(shape). Received: output shape {shape}."
        )
    return shape[1]
