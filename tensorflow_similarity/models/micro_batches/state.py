"""The state that a forward pass in training reads and changes, besides inputs and weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

__all__ = ["added_losses", "replace_losses", "seed_variables", "state_variables"]


def _layers(model: keras.Model) -> list[Any]:
    return list(model._flatten_layers())


def state_variables(model: keras.Model) -> list[Any]:
    """The variables that a forward pass may assign: averages, counters, seeds of the layers.

    Weights that are merely frozen are none of them: copies of these would cost memory.
    """
    variables = [v for layer in _layers(model) for v in layer._non_trainable_variables]
    variables += seed_variables(model)
    return list({id(v): v for v in variables}.values())


def seed_variables(model: keras.Model) -> list[Any]:
    """The states of the random generators that the layers hold."""
    generators = [g for layer in _layers(model) for g in layer._seed_generators]
    return [g.state for g in {id(g): g for g in generators}.values()]


def added_losses(model: keras.Model, dtype: str = "float32") -> Any:
    """The sum of what layers gave to `add_loss` in their last call, activity regularisers included.

    Regularisers of weights are not in it: they are added once a step, by Keras.
    """
    losses = [loss for layer in _layers(model) for loss in layer._get_own_losses()]
    total = ops.zeros((), dtype=dtype)
    for loss in losses:
        total = total + ops.cast(ops.sum(loss), dtype)
    return total


def replace_losses(model: keras.Model, loss: object) -> None:
    """Replaces everything that layers passed to `add_loss` by `loss`."""
    model._clear_losses()
    keras.layers.Layer.add_loss(model, loss)  # functional models refuse their own
