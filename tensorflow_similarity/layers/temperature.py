"""A trainable temperature."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import Shape, Tensor

__all__ = ["Temperature"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class Temperature(keras.layers.Layer):
    """A trainable temperature of a softmax over similarities, as in CLIP.

    Multiplies its input by `1 / temperature`. The logarithm is trained, so the temperature stays
    above 0; a minimum prevents an ever sharper softmax. It is a layer because Keras neither
    trains nor saves variables of a loss.

    Args:
        initial: The initial temperature, above 0.
        minimum: The smallest temperature, above 0 and at most `initial`.
        **kwargs: As for any Keras layer.

    Raises:
        ValueError: If they are out of range.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.layers import Temperature

    Temperature(initial=0.5)(np.array([[1.0, -2.0]]))  # [[2., -4.]]
    ```

    Reference:
        Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*,
        ICML 2021, https://arxiv.org/abs/2103.00020
    """

    def __init__(self, initial: float = 0.07, minimum: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = checks.positive(initial, "initial")
        self.minimum = checks.positive(minimum, "minimum")
        if self.minimum > self.initial:
            raise ValueError(
                "`minimum` must be at most `initial`. Received: "
                f"initial={initial!r}, minimum={minimum!r}."
            )
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(-math.log(self.initial)),
            dtype="float32",
        )
        self.built = True

    @property
    def scale(self) -> Tensor:
        """`1 / temperature`, a float32 scalar."""
        return ops.exp(ops.minimum(self.log_scale, -math.log(self.minimum)))

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * ops.cast(self.scale, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial": self.initial, "minimum": self.minimum}
