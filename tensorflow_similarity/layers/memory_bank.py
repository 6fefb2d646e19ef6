"""A layer that stores embeddings and their class ids."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity._checks import count
from tensorflow_similarity._class_numbers import id_dtype, ids_of, numbers_of
from tensorflow_similarity._types import Shape, Tensor

__all__ = ["MemoryBank"]

_ROWS = ("embeddings", "labels", "examples")


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MemoryBank(keras.layers.Layer):
    """The most recently added embeddings, newest first, in variables of fixed shape.

    `CrossBatchMemory` owns one. It is built by the first batch, or from a saved
    file.

    Args:
        size: Positive integer, the capacity.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Attributes:
        embeddings: Variable `[size, dim]`, float32 or float64.
        labels: int64 variable `[size]`, class ids. With JAX, this and the following are int32;
            larger ids are numbered, but saved as ids.
        examples: int64 variable `[size]`, ids of examples.
        filled: int64 variable, the number of filled slots, from the first on.
        steps: int64 variable, the number of batches offered.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import MemoryBank

    bank = MemoryBank(size=3)
    bank.add(keras.ops.ones((2, 4)), keras.ops.array([7, 8], dtype="int64"))
    int(bank.filled)  # 2
    ```
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        kwargs["trainable"] = False
        super().__init__(**kwargs)
        self.size = count(size, "size")

    def build(self, input_shape: Shape, dtype: str = "float32") -> None:
        def zeros(name: str, shape: Shape, dtype: str = id_dtype()) -> keras.Variable:
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )

        self.embeddings = zeros("embeddings", (self.size, input_shape[-1]), dtype)
        self.labels = zeros("labels", (self.size,))
        self.examples = zeros("examples", (self.size,))
        self.filled = zeros("filled", ())
        self.steps = zeros("steps", ())

    def build_for(self, embeddings: Tensor) -> None:
        """Builds the layer for such embeddings, `[batch, dim]`, unless it is built."""
        if not self.built:
            self.build(embeddings.shape, keras.backend.standardize_dtype(embeddings.dtype))

    def add(
        self,
        embeddings: Tensor,
        labels: Tensor,
        examples: Tensor | None = None,
        warmup_steps: int = 0,
    ) -> None:
        """Inserts a batch at the front, dropping the oldest embeddings.

        Args:
            embeddings: `[batch, dim]`. Of a batch larger than the memory, the first rows
                are kept.
            labels: Class ids `[batch]`, a tensor.
            examples: Ids of the examples `[batch]`, or None.
            warmup_steps: Number of first batches that are not stored.
        """
        self.build_for(embeddings)
        examples = ops.zeros_like(labels) if examples is None else examples
        ready = self.steps >= warmup_steps
        for name, batch in zip(_ROWS, (embeddings, labels, examples), strict=True):
            variable = getattr(self, name)
            rows = ops.convert_to_tensor(variable)
            batch = ops.cast(ops.stop_gradient(batch), variable.dtype)
            moved = ops.reshape(ops.concatenate([batch, rows])[: self.size], variable.shape)
            variable.assign(ops.where(ready, moved, rows) if warmup_steps else moved)
        added = ops.where(ready, ops.shape(embeddings)[0], 0)
        self.filled.assign(ops.minimum(self.filled + ops.cast(added, id_dtype()), self.size))
        self.steps.assign(self.steps + 1)

    def clear(self) -> None:
        """Empties it."""
        if self.built:
            self.filled.assign(0)
            self.steps.assign(0)

    def call(self, inputs: Tensor) -> Tensor:
        """Returns its input; only `add` writes to the memory."""
        return inputs

    def save_own_variables(self, store: Any) -> None:
        """Called by Keras; saves the memory."""
        if self.built:
            for name in (*_ROWS, "filled", "steps"):
                value = ops.convert_to_numpy(getattr(self, name))
                store[name] = value if name == "embeddings" else ids_of(value)

    def load_own_variables(self, store: Any) -> None:
        """Called by Keras; loads a saved memory, keeping the newest embeddings that fit.

        Weights saved without a memory empty it.
        """
        self.clear()
        if "embeddings" not in store.keys():  # noqa: SIM118  h5 groups iterate otherwise
            return
        filled = int(store["filled"][()])
        self.build_for(store["embeddings"])
        embeddings, labels, examples = (np.asarray(store[name][:filled]) for name in _ROWS)
        labels, examples = numbers_of(labels), numbers_of(examples)
        self.add(*(ops.convert_to_tensor(x) for x in (embeddings, labels, examples)))
        self.steps.assign(store["steps"][()])

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return {**super().get_config(), "size": self.size}
