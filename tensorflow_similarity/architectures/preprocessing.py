"""The preprocessing of `keras.applications`, as a layer."""

from __future__ import annotations

import types
import warnings
from typing import Any

import keras
import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity._types import Shape, Tensor

__all__ = ["ImagePreprocessing"]

# The largest value after preprocessing: 255 less the smallest channel mean, 103.9. Raw images
# with values slightly below 0, from interpolation, still reach far above it.
_GREATEST_PREPROCESSED = 152
_EXAMINED = 32


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

    Takes images with values from 0 to 255, of any dtype, and scales them as the models of
    the family expect. Computes in float32, whatever the dtype policy. A
    `SimilarityModel` with this layer warns if its input images are evidently preprocessed
    already.

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
        self._examined = False

    def examine_inputs(self, images: Tensor) -> None:
        """Warns, the first time, if images are evidently preprocessed or scaled already.

        Args:
            images: What the model is given, an array or a tensor.
        """
        if self._examined:
            return
        self._examined = True
        values = np.asarray(images[:_EXAMINED])
        if values.dtype.kind != "f" or not values.size or not np.isfinite(values).all():
            return
        low, high = float(values.min()), float(values.max())
        scaled = low >= 0 and 0 < high <= 1
        if scaled or (low < 0 and high < _GREATEST_PREPROCESSED):
            warnings.warn(
                f"Images look preprocessed already: values from {low:.4g} to {high:.4g}, where the "
                "model expects 0 to 255 and preprocesses inside. Pass images as they are loaded; "
                "or make the model with preprocessing=None, as "
                "`compat.tensorflow_similarity.ResNet50Sim` is.",
                stacklevel=levels_to_the_caller(),
            )

    def call(self, images: Tensor) -> Tensor:
        return _families()[self.family].preprocess_input(keras.ops.cast(images, "float32"))

    def compute_output_shape(self, input_shape: Shape) -> Any:
        """As in Keras."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """As in Keras."""
        return {**super().get_config(), "family": self.family}
