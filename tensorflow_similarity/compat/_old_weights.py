"""Reads weights saved by Keras 2."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

__all__ = ["load_weights"]

_LAYER = "layer_with_weights-"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def load_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Loads weights saved by Keras 2 into a model with the same layers.

    Layers are matched by their order, and their weights by name and shape. Nothing of a
    SavedModel is run: its variables are read, not its graph. Either all weights are loaded, or
    none.

    Args:
        model: A functional or sequential model, built anew with Keras 3.
        path: What `save_weights` or `save` of Keras 2 wrote: an `.h5` file, the prefix of a
            checkpoint, or the folder of a SavedModel.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the layers, their weights or shapes are not those of the model.

    Example:

    ```python
    import keras
    from tensorflow_similarity.compat.tensorflow_similarity import load_weights
    from tensorflow_similarity.layers import MetricEmbedding
    from tensorflow_similarity.models import SimilarityModel

    inputs = keras.Input((4,))
    model = SimilarityModel(inputs, MetricEmbedding(3)(inputs))
    model.save_weights("old.weights.h5")

    load_weights(model, "old.weights.h5")
    ```
    """
    path = os.fspath(path)
    if path.endswith((".h5", ".hdf5")):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"`path` must be a file that exists. Received: {path!r}.")
        model.load_weights(path)
        return
    folder = os.path.join(path, "variables", "variables")
    prefix = folder if os.path.isdir(path) else path
    if not os.path.isfile(f"{prefix}.index"):
        raise FileNotFoundError(
            "`path` must be an .h5 file, the prefix of a checkpoint, or the folder of a "
            f"SavedModel. Received: {path!r}."
        )
    saved = _saved_layers(tf.train.load_checkpoint(prefix))
    layers = [layer for layer in _layers(model) if layer.weights]
    if len(saved) != len(layers):
        raise ValueError(
            f"`model` must have the layers that were saved in {path!r}: {len(saved)} with weights. "
            f"Received: {len(layers)}, {[layer.name for layer in layers]}."
        )
    values = [_matched(layer, found) for layer, found in zip(layers, saved, strict=True)]
    for layer, arrays in zip(layers, values, strict=True):
        layer.set_weights(arrays)


def _layers(model: keras.Model) -> Iterator[Any]:
    """The layers of a model and of nested models, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _saved_layers(reader: Any) -> list[dict[str, np.ndarray]]:
    """The arrays of each saved layer by name, in the order of the layers."""
    layers: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for key in reader.get_variable_to_shape_map():
        if not key.startswith(_LAYER) or not key.endswith(_VALUE) or "/.OPTIMIZER_SLOT/" in key:
            continue
        parts = key.removesuffix(_VALUE).split("/")
        depth = sum(part.startswith(_LAYER) for part in parts)
        place = tuple(int(re.sub(r"\D", "", part)) for part in parts[:depth])
        layers.setdefault(place, {})["/".join(parts[depth:])] = reader.get_tensor(key)
    return [layers[place] for place in sorted(layers)]


def _matched(layer: Any, found: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The saved arrays in the order of a layer's weights."""
    arrays = []
    for weight in layer.weights:
        fitting = [
            array
            for name, array in found.items()
            if name.rpartition("/")[2] == weight.name and array.shape == tuple(weight.shape)
        ]
        if len(fitting) != 1 or len(found) != len(layer.weights):
            saved = {name: array.shape for name, array in found.items()}
            own = {each.name: tuple(each.shape) for each in layer.weights}
            raise ValueError(
                f"The layer {layer.name!r} must have the weights that were saved, {saved}. "
                f"Received: {own}. Build the layers in the order of the old model; or save its "
                "weights with Keras 2 as an .h5 file."
            )
        arrays.append(fitting[0])
    return arrays
