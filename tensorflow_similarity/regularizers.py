"""Regularizers of embeddings, and of the proxies of a `ProxyHead`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.cosine import unit_rows

__all__ = ["KoLeo", "RegularFace", "SparseCenters", "ZeroMean"]


def __dir__() -> list[str]:
    return sorted(__all__)


class _Weighted(keras.regularizers.Regularizer):
    """A penalty times a weight."""

    def __init__(self, weight: float) -> None:
        self.weight = checks.number(weight, "weight")
        if self.weight < 0:
            raise ValueError(f"`weight` must be at least 0. Received: {weight!r}.")

    def penalty(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        # In half precision the smallest differences are 0, and their logarithms infinite.
        x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
        return self.weight * self.penalty(x)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal regularizer."""
        return {"weight": self.weight}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(weight={self.weight})"


def _other_cosines(x: Tensor) -> Tensor:
    """Cosines of rows to each other, -2 to themselves: `[n, n]`."""
    x = unit_rows(x)
    row = ops.arange(ops.shape(x)[0])
    same = row[:, None] == row[None, :]
    return ops.where(same, -2, ops.matmul(x, ops.transpose(x)))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class KoLeo(_Weighted):
    """Spreads embeddings over the sphere: each is pushed from its nearest neighbour in the batch.

    `penalty = -sum over i of log(min over j != i of |z_i - z_j|)`, of rows scaled to length 1.
    Keras divides the penalty of an `activity_regularizer` by the size of the batch, which makes it
    the paper's mean.

    Args:
        weight: The weight of the penalty.

    Inputs: embeddings `[batch, dim]`. A batch of one, or of none, has penalty 0.

    Example:

    ```python
    import keras
    from tensorflow_similarity.layers import L2Embedding
    from tensorflow_similarity.regularizers import KoLeo

    embedding = L2Embedding(16, activity_regularizer=KoLeo(0.1))
    KoLeo(1.0)(keras.ops.eye(3))  # -3 log(sqrt(2))
    ```

    Reference:
        Sablayrolles et al., *Spreading vectors for similarity search*, ICLR 2019,
        https://arxiv.org/abs/1806.03198
    """

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__(weight)

    def penalty(self, x: Tensor) -> Tensor:
        """The penalty, before its weight."""
        if len(x.shape) != 2:
            raise ValueError(
                f"KoLeo takes embeddings [batch, dim]. Received: shape {tuple(x.shape)}."
            )
        # One more column, which is nearest to none: a replica may have no rows.
        cosines = ops.pad(_other_cosines(x), ((0, 0), (0, 1)), constant_values=-3)
        nearest = ops.argmax(ops.stop_gradient(cosines), axis=1)
        z = unit_rows(x)
        squares = ops.sum(ops.square(z - ops.take(z, nearest, axis=0)), axis=1)
        # log(d) = log(d^2) / 2, whose slope stays finite where two rows are one.
        logarithms = ops.log(ops.maximum(squares, 1e-8)) / 2
        several = ops.cast(ops.shape(x)[0] > 1, z.dtype)
        return -ops.sum(logarithms) * several


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ZeroMean(_Weighted):
    """Keeps the coordinates of each row around zero: `penalty = mean over i of |sum_k x_ik|`.

    Args:
        weight: The weight of the penalty.

    Inputs: weights `[rows, dim]`, or proxies `[classes, centers, dim]`.

    Example:

    ```python
    import keras
    from tensorflow_similarity.regularizers import ZeroMean

    ZeroMean(weight=1.0)(keras.ops.convert_to_tensor([[1.0, -1.0], [1.0, 2.0]]))  # (0 + 3) / 2
    ```
    """

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__(weight)

    def penalty(self, x: Tensor) -> Tensor:
        """The penalty, before its weight."""
        return ops.mean(ops.abs(ops.sum(x, axis=-1)))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class RegularFace(_Weighted):
    """Pushes each class from the nearest other: `penalty = mean over j of max over k of cos_jk`.

    Of a class with several centers, their mean direction counts.

    Args:
        weight: The weight of the penalty.

    Inputs: proxies `[classes, dim]` or `[classes, centers, dim]`. One class alone has penalty 0.

    Example:

    ```python
    from tensorflow_similarity.layers import ProxyHead
    from tensorflow_similarity.regularizers import RegularFace

    head = ProxyHead(classes=10, proxy_regularizer=RegularFace(1.0))
    ```

    Reference:
        Zhao et al., *RegularFace: Deep Face Recognition via Exclusive Regularization*, CVPR 2019,
        https://openaccess.thecvf.com/content_CVPR_2019/papers/Zhao_RegularFace_Deep_Face_Recognition_via_Exclusive_Regularization_CVPR_2019_paper.pdf
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def penalty(self, x: Tensor) -> Tensor:
        """The penalty, before its weight."""
        if len(x.shape) == 3:
            x = ops.mean(unit_rows(x), axis=1)
        if x.shape[0] == 1:
            return 0 * ops.sum(x)
        return ops.mean(ops.max(_other_cosines(x), axis=1))


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class SparseCenters(_Weighted):
    """Lets centers of a class that are near each other become one.

    `penalty = mean over classes and pairs of their centers of sqrt(2 - 2 cos)`, of SoftTriple.

    Args:
        weight: The weight of the penalty.

    Inputs: proxies `[classes, centers, dim]`. With one center each the penalty is 0.

    Example:

    ```python
    from tensorflow_similarity.layers import ProxyHead
    from tensorflow_similarity.regularizers import SparseCenters

    head = ProxyHead(classes=10, centers=5, proxy_regularizer=SparseCenters(0.2))
    ```

    Reference:
        Qian et al., *SoftTriple Loss: Deep Metric Learning Without Triplet Sampling*, ICCV 2019,
        https://arxiv.org/abs/1909.05235
    """

    def __init__(self, weight: float = 0.2) -> None:
        super().__init__(weight)

    def penalty(self, x: Tensor) -> Tensor:
        """The penalty, before its weight."""
        if len(x.shape) != 3:
            raise ValueError(
                "SparseCenters takes proxies [classes, centers, dim]. Received: shape "
                f"{tuple(x.shape)}."
            )
        centers = x.shape[1]
        if centers == 1:
            return 0 * ops.sum(x)
        x = unit_rows(x)
        cosines = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        number = ops.arange(centers)
        pair = number[:, None] < number[None, :]
        # As its authors do: the constant keeps the slope finite where two are one.
        apart = ops.sqrt(ops.where(pair, ops.maximum(2 - 2 * cosines, 0) + 1e-5, 1))
        total = ops.sum(ops.where(pair, apart, 0))
        return total / (x.shape[0] * (centers * (centers - 1) // 2))
