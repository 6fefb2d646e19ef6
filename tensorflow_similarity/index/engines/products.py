"""Scores of queries against blocks of keys, and the maxima of their groups.

TensorFlow's products run on all cores, also where NumPy's BLAS does not know the
processor, and several threads may use them at once: this module needs TensorFlow
for speed. NumPy computes a single query, which is bound by reading the keys, and
everything in a forked process, where TensorFlow would wait for ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from tensorflow_similarity.index.engines.forks import forked

__all__ = ["Operands", "Products", "by_group"]

# The alignment that TensorFlow requires of external memory; otherwise it aborts.
_ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class Operands:
    """A block of keys: scores are `(left @ keys.T) * scale + bias`.

    Attributes:
        keys: float32 `[n, dim]`.
        scale: float32 `[n]`, or None for 1.
        bias: float32 `[n]`, or None for 0; -inf for keys that do not count.
    """

    keys: np.ndarray
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None

    def without(self, dead: np.ndarray) -> Operands:
        """The same, with the keys at some positions excluded."""
        bias = np.zeros(len(self.keys), np.float32) if self.bias is None else self.bias.copy()
        bias[dead] = -np.inf
        return dataclasses.replace(self, bias=bias)


class Products:
    """Queries, ready for products with blocks of keys.

    Args:
        left: float32 `[q, dim]`.
        part_size: Queries multiplied at a time.
    """

    def __init__(self, left: np.ndarray, part_size: int) -> None:
        self.left = left
        self._part_size = part_size
        self._parts: list[Any] | None = None

    def __len__(self) -> int:
        return -(-len(self.left) // self._part_size)

    def slice(self, part: int) -> slice:
        """The queries of a part."""
        return slice(part * self._part_size, (part + 1) * self._part_size)

    def scores(self, operands: Operands, layers: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """For each part: scores `[q, n]`, and the maxima of groups `[q, ceil(n / layers)]`.

        A group is `layers` keys, one after the other.
        """
        if len(self.left) == 1:
            yield self._single(operands, layers)
            return
        if forked():
            yield from self._by_numpy(operands, layers)
            return
        import tensorflow as tf

        with tf.device("CPU:0"):
            right, bias = _tensor(operands.keys), operands.bias
            for part in self._tensors():
                scores = tf.matmul(part, right, transpose_b=True)
                if operands.scale is not None:
                    scores *= operands.scale
                if bias is not None:
                    scores = tf.nn.bias_add(scores, bias)
                full = len(operands.keys) // layers * layers
                grouped = scores if full == len(operands.keys) else scores[:, :full]
                maxima = tf.reduce_max(
                    tf.reshape(grouped, [len(scores), full // layers, layers]), axis=2
                )
                yield _with_rest(np.asarray(scores), np.asarray(maxima), full)

    def _by_numpy(self, operands: Operands, layers: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        for part in range(len(self)):
            scores = self.left[self.slice(part)] @ operands.keys.T
            if operands.scale is not None:
                scores *= operands.scale
            if operands.bias is not None:
                scores += operands.bias
            full = len(operands.keys) // layers * layers
            grouped = scores[:, :full].reshape(len(scores), full // layers, layers)
            yield _with_rest(scores, grouped.max(axis=2), full)

    def _single(self, operands: Operands, layers: int) -> tuple[np.ndarray, np.ndarray]:
        # One thread reads as fast as memory gives, and BLAS would wait for
        # all of its own, for milliseconds where the machine is busy.
        scores = np.vecdot(operands.keys, self.left[0])
        if operands.scale is not None:
            scores *= operands.scale
        if operands.bias is not None:
            scores += operands.bias
        return scores[None], by_group(scores, layers)[None]

    def _tensors(self) -> list[Any]:
        if self._parts is None:
            import tensorflow as tf

            self._parts = [tf.constant(self.left[self.slice(part)]) for part in range(len(self))]
        return self._parts


def by_group(values: np.ndarray, layers: int) -> np.ndarray:
    """The largest value of each group, of which the last may be smaller."""
    if layers == 1:
        return values
    return np.maximum.reduceat(values, np.arange(0, len(values), layers))


def _with_rest(scores: np.ndarray, maxima: np.ndarray, full: int) -> tuple[np.ndarray, np.ndarray]:
    """Adds the maximum of an incomplete last group."""
    if full == scores.shape[1]:
        return scores, maxima
    return scores, np.concatenate([maxima, scores[:, full:].max(axis=1, keepdims=True)], axis=1)


def _tensor(rows: np.ndarray) -> Any:
    """A tensor of the rows, sharing their memory if TensorFlow can read it."""
    import tensorflow as tf

    readable = rows.flags.c_contiguous and rows.flags.writeable and rows.size
    if readable and rows.ctypes.data % _ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(rows.__dlpack__())
    return tf.constant(rows)
