"""The preprocessing of `keras.applications`, as a layer."""

from __future__ import annotations

import types
from typing import Any

import keras

__all__ = ["ImagePreprocessing"]


def _families() -> dict[str, types.ModuleType]:
    """The modules of `keras.applications` that have a `preprocess_input`, by name."""
    found = {name: getattr(keras.applications, name) for name in dir(keras.applications)}
    return {
        name: module
        for name, module in found.items()
        if isinstance(module, types.ModuleType) and hasattr(module, "preprocess_input")
    }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ImagePreprocessing(keras.layers.Layer):
    """`keras.applications.<family>.preprocess_input` as a layer: part of the model, and saved.

    Takes images with values from 0 to 255, of any dtype, and gives what the models of
    the family were trained on. Computed in float32, whatever the dtype policy.

    Args:
        family: The module of `keras.applications`, such as `"resnet"` or
            `"mobilenet_v2"`.
        **kwargs: `name`, as in Keras.

    Input shape:
        `[batch, height, width, 3]`.

    Output shape:
        The same.

    Raises:
        ValueError: If there is no such module.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.architectures import ImagePreprocessing

    images = np.full((1, 2, 2, 3), 255, "uint8")
    ImagePreprocessing("mobilenet_v2")(images).numpy().max()  # 1.0
    ```
    """

    def __init__(self, family: str, **kwargs: Any) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        families = _families()
        if family not in families:
            raise ValueError(f"`family` must be one of {sorted(families)}. Received: {family!r}.")
        self.family = family

    def call(self, images: Any) -> Any:
        return _families()[self.family].preprocess_input(keras.ops.cast(images, "float32"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As in Keras."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """As in Keras."""
        return {**super().get_config(), "family": self.family}
