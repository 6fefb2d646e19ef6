"""Scores of queries against blocks of keys, and the maxima of their groups.

TensorFlow's products run on all cores, also where NumPy's BLAS does not know
the processor, and several threads may use them at once. For a few queries,
which are bound by reading the keys, NumPy reads them without a copy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

__all__ = ["Products"]


class Products:
    """Queries, ready for products with blocks of keys.

    Args:
        left: float32 `[q, dim]`.
        part_size: Queries multiplied at a time.
    """

    #: Up to this many queries the keys are read in place.
    FEW_QUERIES = 16

    def __init__(self, left: np.ndarray, part_size: int) -> None:
        self.left = left
        self._part_size = part_size
        self._parts: list[Any] | None = None
        if len(left) > self.FEW_QUERIES:
            with tf.device("CPU:0"):
                self._parts = [tf.constant(left[self.slice(i)]) for i in range(len(self))]

    def __len__(self) -> int:
        return -(-len(self.left) // self._part_size)

    def slice(self, part: int) -> slice:
        """The queries of a part."""
        return slice(part * self._part_size, (part + 1) * self._part_size)

    def block(self, right: np.ndarray, bias: np.ndarray | None) -> _Block:
        """A block of keys `[n, dim]`, with their bias `[n]`."""
        if self._parts is None:
            return _Block(lambda part: self.left[self.slice(part)] @ right.T, bias, None)
        with tf.device("CPU:0"):
            keys = tf.constant(right)
            added = tf.constant(np.zeros(1, np.float32) if bias is None else bias)
        product = _compiled()[bias is not None]
        parts = self._parts
        return _Block(None, None, lambda part, groups: product(parts[part], keys, added, groups))


class _Block:
    """The scores of one block of keys, for each part of the queries."""

    def __init__(
        self,
        by_numpy: Callable[[int], np.ndarray] | None,
        bias: np.ndarray | None,
        by_tensorflow: Callable[[int, Any], Any] | None,
    ) -> None:
        self._by_numpy, self._bias, self._by_tensorflow = by_numpy, bias, by_tensorflow

    def scores(
        self, part: int, groups: int, dead: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores `[q, n]`, and the maxima of `groups` groups `[q, groups]`.

        Member i of group j is at `i * groups + j`: maxima are then taken
        between long rows, which is fast, and not within short ones.
        """
        if self._by_tensorflow is not None:
            with tf.device("CPU:0"):
                scores, maxima = self._by_tensorflow(part, tf.constant(groups))
            scores, maxima = np.asarray(scores), np.asarray(maxima)
        else:
            scores = self._by_numpy(part)  # type: ignore[misc]
            if self._bias is not None:
                scores += self._bias
            if dead is not None:
                scores[:, dead] = -np.inf
            full = scores.shape[1] // groups * groups
            maxima = scores[:, :full].reshape(len(scores), -1, groups).max(axis=1)
        rest = scores.shape[1] % groups
        if rest:
            maxima = maxima.copy()
            np.maximum(maxima[:, :rest], scores[:, -rest:], out=maxima[:, :rest])
        return scores, maxima


@functools.cache
def _compiled() -> dict[bool, Callable[..., Any]]:
    """The product with and without a bias, each traced once for all shapes."""
    matrix = tf.TensorSpec([None, None], tf.float32)
    signature = [matrix, matrix, tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32)]

    def with_maxima(scores: Any, groups: Any) -> tuple[Any, Any]:
        layers = tf.shape(scores)[1] // groups
        grouped = tf.reshape(scores[:, : layers * groups], [-1, layers, groups])
        return scores, tf.reduce_max(grouped, axis=1)

    @tf.function(input_signature=signature, autograph=False)
    def plain(queries: Any, keys: Any, bias: Any, groups: Any) -> tuple[Any, Any]:
        return with_maxima(tf.matmul(queries, keys, transpose_b=True), groups)

    @tf.function(input_signature=signature, autograph=False)
    def biased(queries: Any, keys: Any, bias: Any, groups: Any) -> tuple[Any, Any]:
        product = tf.matmul(queries, keys, transpose_b=True)
        return with_maxima(tf.nn.bias_add(product, bias), groups)

    return {False: plain, True: biased}
