"""Tells cheaply whether a model's weights are still those that made its index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

__all__ = ["WeightsFingerprint"]


class WeightsFingerprint:
    """The digest of a model's weights, computed again only after they may have changed.

    A change is noticed whoever made it: `fit`, a `GradientTape` loop, `assign` on a
    variable. What is compared is where the weights are in memory, not what they hold,
    so that a look costs microseconds per weight, whatever its size:

    - TensorFlow on the CPU: the buffer of each variable. The one seen last is kept, so
      that TensorFlow puts changed weights into another. Until the next look after a
      change the model has two copies of its weights.
    - TensorFlow on other devices: a checksum of the weights, computed there.
    - JAX: the array of each variable, which is immutable.
    - torch: the version of each tensor, which operations in place increment.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._touched = 0
        self._seen: Any = None
        self._watched: list[Any] = []
        self._look: Callable[[], tuple[Any, Any]] | None = None
        self._held: Any = None
        self._digest = ""

    def __getstate__(self) -> dict[str, Any]:
        # What was seen is a place in the memory of this process.
        return self.__dict__ | {"_seen": None, "_watched": [], "_look": None, "_held": None}

    def touch(self) -> None:
        """Makes the next `digest` read the weights again."""
        self._touched += 1

    def digest(self) -> str:
        """Returns the digest of the weights as they are now: 32 hexadecimal digits."""
        weights = self._model.weights
        if self._look is None or not _same_objects(weights, self._watched):
            self._watched, self._look = weights, _look_at(weights)
        state, held = self._look()
        seen = (self._touched, state)
        if self._held is None or seen != self._seen:
            self._digest = _digest(weights)
            self._seen, self._held = seen, held
        return self._digest


def _same_objects(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(a is b for a, b in zip(first, second, strict=True))


def _look_at(weights: list[Any]) -> Callable[[], tuple[Any, Any]]:
    """Returns a function that tells `(state, held)`: states are equal if no weight changed.

    `held` must be kept for as long as its state is compared with others.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _tensorflow(weights)
    if backend == "torch":
        return lambda: _torch([weight.value for weight in weights])

    def arrays() -> tuple[Any, Any]:
        values = [weight.value for weight in weights]
        return tuple(map(id, values)), (values,)

    return arrays


def _torch(values: list[Any]) -> tuple[Any, Any]:
    return tuple((id(v), v.data_ptr(), v._version) for v in values), (values,)


def _tensorflow(weights: list[Any]) -> Callable[[], tuple[Any, Any]]:
    import tensorflow as tf

    variables = [weight.value for weight in weights]
    if not all("CPU" in str(variable.device) for variable in variables):

        def checksums() -> list[Any]:
            return [_checksum(tf.convert_to_tensor(variable)) for variable in variables]

        compiled = tf.function(checksums, autograph=False, jit_compile=True)
        return lambda: (tuple(int(found) for found in compiled()), ())

    def read() -> list[Any]:
        values = [tf.convert_to_tensor(variable) for variable in variables]
        # Not a copy. Python has no buffers of bfloat16.
        return [tf.bitcast(v, tf.uint16) if v.dtype == tf.bfloat16 else v for v in values]

    compiled = tf.function(read, autograph=False)

    def buffers() -> tuple[Any, Any]:
        values = compiled()
        return tuple(map(_address, values)), (values,)

    return buffers


def _address(value: Any) -> int:
    return np.asarray(memoryview(value)).__array_interface__["data"][0]


def _checksum(value: Any) -> Any:
    """A sum modulo 2**32 of the bits of all elements, each with a factor of its own."""
    import tensorflow as tf

    if value.dtype == tf.bool:
        value = tf.cast(value, tf.int32)
    unsigned = {1: tf.uint8, 2: tf.uint16, 4: tf.int32, 8: tf.int32}[value.dtype.size]
    bits = tf.reshape(tf.cast(tf.bitcast(value, unsigned), tf.int32), [-1])
    # Odd factors have inverses, so that no change of a single element is lost.
    factors = tf.range(tf.size(bits), dtype=tf.int32) * tf.constant(-1640531536) + 1
    return tf.reduce_sum(bits * factors)


def _digest(weights: list[Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for weight in weights:
        value = np.ascontiguousarray(_array(weight.value))
        # `ascontiguousarray` makes a scalar a vector.
        digest.update(f"{value.dtype}{tuple(weight.shape)}".encode())
        # A view of bytes: bfloat16 has no buffer protocol of its own.
        digest.update(value.reshape(-1).view("uint8").data if value.size else b"")
    return digest.hexdigest()


def _array(value: Any) -> Any:
    # Keras copies variables of TensorFlow in a way that NumPy warns of.
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return value.numpy() if on_tensorflow else keras.ops.convert_to_numpy(value)
