"""Chooses the layers of a backbone to train."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["set_trainable"]

_WORDS = ("frozen", "partial", "full")
# The share of the layers with weights that "partial" trains.
_PART = 1 / 3


def set_trainable(backbone: keras.Model, trainable: str | int) -> None:
    """Makes a backbone frozen, trainable, or trainable from some layer on.

    Batch normalisation is frozen, in inference mode, unless everything is trained: it keeps
    the statistics of the data that the backbone was pretrained on.

    Args:
        backbone: The backbone.
        trainable: `"frozen"`, `"full"`, `"partial"` (the last third of the layers that
            have weights), the number of layers with weights to train, or the name of
            the first layer to train.

    Raises:
        TypeError: If `trainable` is neither a string nor an integer.
        ValueError: If there is no such layer.
    """
    if isinstance(trainable, bool) or not isinstance(trainable, (str, int)):
        raise TypeError(
            f"`trainable` must be one of {_WORDS}, a number of layers, or the name of a layer. "
            f"Received: {trainable!r}."
        )
    if trainable in ("frozen", "full"):
        backbone.trainable = trainable == "full"
        return
    layers = [layer for layer in backbone._flatten_layers(include_self=False) if _is_leaf(layer)]
    weighty = [layer for layer in layers if layer.weights and not _is_normalisation(layer)]
    if trainable == "partial":
        trainable = max(1, round(_PART * len(weighty)))
    if isinstance(trainable, int):
        if not 0 <= trainable <= len(weighty):
            raise ValueError(
                f"`trainable` must be from 0 to {len(weighty)}, the number of layers with "
                f"weights. Received: {trainable}."
            )
        trained = weighty[len(weighty) - trainable :]
    else:
        names = [layer.name for layer in layers]
        if trainable not in names:
            raise ValueError(
                f"`trainable` must be one of {_WORDS}, a number of layers, or the name of a layer "
                f"of the backbone. Received: {trainable!r}; its last layers are {names[-5:]}."
            )
        trained = layers[names.index(trainable) :]
    backbone.trainable = True
    keep = {id(layer) for layer in trained if not _is_normalisation(layer)}
    for layer in layers:
        layer.trainable = id(layer) in keep


def _is_leaf(layer: Any) -> bool:
    return not list(layer._flatten_layers(include_self=False))


def _is_normalisation(layer: object) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)
