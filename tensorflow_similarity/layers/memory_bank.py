"""A layer that remembers embeddings and their class ids."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity.checks import count
from tensorflow_similarity.mining.rows import NO_CLASS

__all__ = ["MemoryBank"]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class MemoryBank(keras.layers.Layer):
    """The embeddings that were added last, newest first, in variables of fixed shape.

    `CrossBatchMemory` owns one. It is built by the first batch, or from a saved
    file.

    Args:
        size: Positive integer, how many embeddings it holds.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Attributes:
        embeddings: Variable `[size, dim]`, float32 or float64.
        labels: Variable `[size]`, int64 class ids; `NO_CLASS` where it is empty.
        examples: Variable `[size]`, int64 ids of examples.
        steps: int64 variable, how many batches were offered.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import MemoryBank

    bank = MemoryBank(size=3)
    bank.add(keras.ops.ones((2, 4)), keras.ops.array([7, 8], dtype="int64"))
    bank.filled  # 2
    ```
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        kwargs["trainable"] = False
        super().__init__(**kwargs)
        self.size = count(size, "size")

    def build(self, input_shape: Any, dtype: str = "float32") -> None:
        def no_class(shape: Any, dtype: Any = None) -> Any:
            return ops.convert_to_tensor(NO_CLASS) + ops.zeros(shape, dtype="int64")

        def place(name: str, **kwargs: Any) -> Any:
            return self.add_weight(name=name, trainable=False, autocast=False, **kwargs)

        shape = (self.size, input_shape[-1])
        self.embeddings = place("embeddings", shape=shape, dtype=dtype, initializer="zeros")
        ids = {"shape": (self.size,), "dtype": "int64", "initializer": no_class}
        self.labels = place("labels", **ids)
        self.examples = place("examples", **ids)
        self.steps = place("steps", shape=(), dtype="int64", initializer="zeros")

    @property
    def filled(self) -> int:
        """How many embeddings it holds."""
        if not self.built:
            return 0
        return int(ops.sum(ops.cast(ops.not_equal(self.labels, NO_CLASS), "int32")))

    def add(
        self, embeddings: Any, labels: Any, examples: Any = None, warmup_steps: int = 0
    ) -> None:
        """Puts a batch in front, and lets the oldest go.

        Args:
            embeddings: `[batch, dim]`. Of a batch larger than the memory the
                first rows are kept.
            labels: int64 class ids `[batch]`.
            examples: int64 ids of the examples `[batch]`, or None.
            warmup_steps: Nothing is kept of the first so many batches.
        """
        if not self.built:
            self.build_for(embeddings)
        if examples is None:
            examples = ops.zeros_like(labels) + NO_CLASS
        ready = self.steps >= warmup_steps
        rows = (self.embeddings, embeddings), (self.labels, labels), (self.examples, examples)
        for variable, batch in rows:
            batch = ops.cast(ops.stop_gradient(batch), variable.dtype)
            moved = ops.concatenate([batch, ops.convert_to_tensor(variable)])[: self.size]
            moved = ops.reshape(moved, variable.shape)
            variable.assign(ops.where(ready, moved, variable) if warmup_steps else moved)
        self.steps.assign(self.steps + 1)

    def build_for(self, embeddings: Any) -> None:
        """Builds for embeddings such as these, `[batch, dim]`."""
        self.build(embeddings.shape, keras.backend.standardize_dtype(embeddings.dtype))

    def call(self, inputs: Any) -> Any:
        """Returns its input: it is written by `add` alone."""
        return inputs

    def save_own_variables(self, store: Any) -> None:
        """Called by Keras: writes what it holds."""
        if self.built:
            for name in _VARIABLES:
                store[name] = ops.convert_to_numpy(getattr(self, name))

    def load_own_variables(self, store: Any) -> None:
        """Called by Keras: reads what it held, of which the newest that fit are kept.

        Weights that were saved without a memory leave it empty.
        """
        if "embeddings" not in store.keys():  # noqa: SIM118  h5 groups iterate otherwise
            return
        saved = {name: ops.convert_to_tensor(store[name][()]) for name in _VARIABLES}
        if self.built:
            for name in ("labels", "examples"):
                variable = getattr(self, name)
                variable.assign(ops.zeros_like(variable) + NO_CLASS)
        self.add(saved["embeddings"], saved["labels"], saved["examples"])
        self.steps.assign(saved["steps"])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer."""
        return {**super().get_config(), "size": self.size}


_VARIABLES = ("embeddings", "labels", "examples", "steps")
