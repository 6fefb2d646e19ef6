"""Signal-to-noise-ratio distance."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import Distance, promote
from tensorflow_similarity.distances.euclidean import squared_differences
from tensorflow_similarity.distances.product import Product

__all__ = ["SNRDistance"]

_SMALLEST_SIGNAL = 1e-30


def _centered(x: Tensor, xp: Any = ops) -> Tensor:
    return x - xp.mean(x, axis=-1, keepdims=True)


def _signal(x: Tensor, xp: Any = ops) -> Tensor:
    """Sum of squares of centered rows; 1 where a row has no variance to divide by."""
    squares = xp.sum(xp.square(x), axis=-1)
    return xp.where(squares > _SMALLEST_SIGNAL, squares, xp.ones_like(squares))


def _over_signal(noise: Tensor, queries: Tensor, xp: Any) -> Tensor:
    return noise / _signal(queries, xp)[:, None]


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SNRDistance(Distance):
    """`var(a - b) / var(a)`: the noise that b adds to the signal a.

    Variances are taken over the embedding axis. Not symmetric: `a` is the
    query. A query without any variance has no signal to compare with; there the
    value is the sum of squares of the centered difference, which is finite.

    Names: `"snr"`, `"signal_to_noise_ratio"`.

    Example:

    ```python
    from tensorflow_similarity.distances import SNRDistance

    SNRDistance()([[1.0, -1.0]], [[1.0, -1.0], [0.0, 0.0]])  # [[0., 1.]]
    ```

    Reference:
        Yuan et al., *Signal-to-Noise Ratio: A Robust Distance Metric for Deep
        Metric Learning*, CVPR 2019, https://arxiv.org/abs/1904.02616
    """

    name = "snr"

    def product(self) -> Product:
        return Product("squared_euclidean", transform=_centered, finish=_over_signal)

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        queries, keys = _centered(queries), _centered(keys)
        noise = ops.relu(squared_differences(queries, keys))
        return noise / _signal(queries)[:, None]

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = promote(a, b)
        a, b = _centered(a), _centered(b)
        return ops.sum(ops.square(a - b), axis=-1) / _signal(a)
