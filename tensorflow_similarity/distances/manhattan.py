"""Manhattan distance."""

from __future__ import annotations

import keras
from keras import ops

from tensorflow_similarity._blocks import map_row_blocks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import Distance, promote

__all__ = ["ManhattanDistance"]

# Elements of the largest [rows, keys, dim] temporary: 16 MiB of float32.
_TEMPORARY = 2**22
_ROWS_FOR_UNKNOWN_KEYS = 8


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ManhattanDistance(Distance):
    """`sum_i |a_i - b_i|`, the Manhattan (L1) distance.

    There is no matrix product for it: the differences are formed for a few
    queries at a time, in bounded memory, also in the gradient.

    Names: `"manhattan"`, `"l1"`.

    Example:

    ```python
    from tensorflow_similarity.distances import ManhattanDistance

    ManhattanDistance()([[0.0, 0.0]], [[3.0, -4.0]])  # [[7.]]
    ```
    """

    name = "manhattan"

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        m, dim = keys.shape
        rows = _ROWS_FOR_UNKNOWN_KEYS if m is None else max(1, _TEMPORARY // max(1, m * dim))

        def block(q: Tensor, k: Tensor) -> Tensor:
            return self.paired(q[:, None, :], k[None, :, :])

        return map_row_blocks(block, (queries,), (keys,), rows)

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = promote(a, b)
        return ops.sum(ops.abs(a - b), axis=-1)
