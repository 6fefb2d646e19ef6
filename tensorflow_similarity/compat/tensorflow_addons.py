"""The losses of TensorFlow Addons 0.23: its names, its defaults, its argument orders.

Importing from here in place of `tensorflow_addons.losses` changes no value, where that was a
number; `from tensorflow_similarity.compat import tensorflow_addons as tfa` has `tfa.losses`, too.
A batch without a positive pair has loss 0, and not NaN. Classes are registered under Addons'
package, so `"Addons>TripletSemiHardLoss"` is found.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity import losses as _losses
from tensorflow_similarity._types import Tensor

__all__ = [
    "ContrastiveLoss",
    "LiftedStructLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "angular_distance",
    "contrastive_loss",
    "lifted_struct_loss",
    "npairs_loss",
    "npairs_multilabel_loss",
    "pairwise_distance",
    "triplet_hard_loss",
    "triplet_semihard_loss",
]

_PACKAGE = "Addons"
ContrastiveLoss = _losses.ContrastiveLoss
LiftedStructLoss = _losses.LiftedStructLoss
NpairsLoss = _losses.NpairsLoss
NpairsMultilabelLoss = _losses.NpairsMultilabelLoss


@keras.saving.register_keras_serializable(package=_PACKAGE)
class FunctionOfEmbeddings(distances.Distance):
    """A `distance_metric` of Addons, a function of all embeddings, as a distance.

    Queries and keys are passed to the function together, and their part of what it returns
    is the distance. A value must therefore depend on its two rows only.

    Args:
        function: `embeddings [n, dim] -> [n, n]`. To be saved with a model it must be
            registered with `keras.saving.register_keras_serializable`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        if isinstance(function, dict):
            function = keras.saving.deserialize_keras_object(function)
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def pairwise(self, queries: Tensor, keys: Tensor) -> Tensor:
        number = ops.shape(queries)[0]
        if queries is keys:
            return self.function(queries)
        return self.function(ops.concatenate([queries, keys]))[:number, number:]

    def get_config(self) -> dict[str, Any]:
        return {"function": keras.saving.serialize_keras_object(self.function)}


def _distance(distance_metric: Any) -> Any:
    """The distance that `distance_metric` names, or that a function of one or two arguments is."""
    if isinstance(distance_metric, str):
        named = {"L2": "euclidean", "squared-L2": "squared_euclidean", "angular": "cosine"}
        # Names that Addons had not are distances of this package, or refused by it.
        return named.get(distance_metric, distance_metric)
    is_function = callable(distance_metric) and not isinstance(
        distance_metric, (distances.Distance, type)
    )
    if is_function:
        try:
            inspect.signature(distance_metric).bind(None)
        except (TypeError, ValueError):
            return distance_metric
        return FunctionOfEmbeddings(distance_metric)
    return distance_metric


@keras.saving.register_keras_serializable(package=_PACKAGE)
class TripletSemiHardLoss(_losses.TripletSemiHardLoss):
    """`losses.TripletSemiHardLoss` with the default distance of Addons 0.11 to 0.23, plain L2.

    Args:
        margin: The margin, in units of the distance. Defaults to 1.
        distance_metric: `"L2"` (the default), `"squared-L2"`, `"angular"` (the cosine
            distance), or a function of the embeddings, `[n, dim] -> [n, n]`. A function
            `(queries, keys) -> [n, m]` and any distance of this package do as well.
        name: Name of the loss.
        **kwargs: As for `losses.TripletSemiHardLoss`, `reduction` among them.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.TripletSemiHardLoss()([0, 0, 1], [[0.0], [1.0], [1.5]])  # (0.5 + 1.5) / 2
    ```
    """

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: object = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            margin=margin,
            distance=_distance(distance_metric),
            name=name or "triplet_semihard_loss",
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["distance_metric"] = config.pop("distance")
        return config


@keras.saving.register_keras_serializable(package=_PACKAGE)
class TripletHardLoss(_losses.TripletHardLoss):
    """`losses.TripletHardLoss` with the argument order of Addons.

    Args:
        margin: The margin, in units of the distance. Defaults to 1.
        soft: Whether to use the soft margin. Defaults to `False`.
        distance_metric: As for `TripletSemiHardLoss`.
        name: Name of the loss.
        **kwargs: As for `losses.TripletHardLoss`.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.TripletHardLoss()([0, 1, 0], [[0.0], [1.0], [3.0]])  # (3 + 0 + 2) / 3
    ```
    """

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: object = "L2",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            margin=margin,
            soft=soft,
            distance=_distance(distance_metric),
            name=name or "triplet_hard_loss",
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["distance_metric"] = config.pop("distance")
        return config


# Old files name the classes by Addons' package.
for _class in (ContrastiveLoss, LiftedStructLoss, NpairsLoss, NpairsMultilabelLoss):
    keras.saving.get_custom_objects()[f"{_PACKAGE}>{_class.__name__}"] = _class


def _ids(y_true: Tensor) -> Tensor:
    """Class ids as integers: Keras casts what it passes to a loss function to float32."""
    y_true = ops.convert_to_tensor(y_true)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(y_true.dtype)):
        return ops.cast(y_true, "int64")
    return y_true


@keras.saving.register_keras_serializable(package=_PACKAGE)
def triplet_semihard_loss(
    y_true: Tensor, y_pred: Tensor, margin: float = 1.0, distance_metric: object = "L2"
) -> Tensor:
    """The value of `TripletSemiHardLoss`, as a function.

    Compiled as a loss, Keras casts class ids to float32: those of 2**24 and above are not kept
    apart. The class keeps them.

    Args:
        y_true: Class ids `[batch]` or `[batch, 1]`.
        y_pred: Embeddings `[batch, dim]`.
        margin: The margin. Defaults to 1.
        distance_metric: As for `TripletSemiHardLoss`.

    Returns:
        A scalar.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.triplet_semihard_loss([0, 0, 1], [[0.0], [1.0], [1.5]])  # (0.5 + 1.5) / 2
    ```
    """
    return TripletSemiHardLoss(margin, distance_metric)(_ids(y_true), y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
def triplet_hard_loss(
    y_true: Tensor,
    y_pred: Tensor,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: object = "L2",
) -> Tensor:
    """The value of `TripletHardLoss`, as a function.

    Args:
        y_true: Class ids `[batch]` or `[batch, 1]`; see `triplet_semihard_loss`.
        y_pred: Embeddings `[batch, dim]`.
        margin: The margin. Defaults to 1.
        soft: Whether to use the soft margin. Defaults to `False`.
        distance_metric: As for `TripletSemiHardLoss`.

    Returns:
        A scalar.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.triplet_hard_loss([0, 1, 0], [[0.0], [1.0], [3.0]])  # (3 + 0 + 2) / 3
    ```
    """
    return TripletHardLoss(margin, soft, distance_metric)(_ids(y_true), y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
def lifted_struct_loss(labels: Tensor, embeddings: Tensor, margin: float = 1.0) -> Tensor:
    """The value of `LiftedStructLoss`, as a function.

    Args:
        labels: Class ids `[batch]` or `[batch, 1]`; see `triplet_semihard_loss`.
        embeddings: `[batch, dim]`.
        margin: The margin. Defaults to 1.

    Returns:
        A scalar.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.lifted_struct_loss([0, 0, 1], [[0.0], [1.0], [1.5]])
    ```
    """
    return LiftedStructLoss(margin=margin)(_ids(labels), embeddings)


@keras.saving.register_keras_serializable(package=_PACKAGE)
def contrastive_loss(y_true: Tensor, y_pred: Tensor, margin: float = 1.0) -> Tensor:
    """The contrastive loss of each pair, from its distance.

    Args:
        y_true: 1 for a pair of one class, 0 for another, `[batch]`.
        y_pred: Distances `[batch]`.
        margin: The margin. Defaults to 1.

    Returns:
        `[batch]`.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.contrastive_loss([1, 0], [0.5, 0.2])  # [0.25, 0.64]
    ```
    """
    return ContrastiveLoss(margin=margin, reduction=None)(y_true, y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
def npairs_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The n-pairs loss, from a similarity matrix.

    Args:
        y_true: Class ids `[batch]` or `[batch, 1]`; see `triplet_semihard_loss`.
        y_pred: Similarities of anchors and positives, `[batch, batch]`.

    Returns:
        A scalar.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.npairs_loss([0, 1], [[0.0, 0.0], [0.0, 0.0]])  # log(2)
    ```
    """
    return NpairsLoss()(_ids(y_true), y_pred)


@keras.saving.register_keras_serializable(package=_PACKAGE)
def npairs_multilabel_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The n-pairs loss of examples with several labels, from a similarity matrix.

    Args:
        y_true: Multi-hot labels `[batch, classes]`; a `tf.SparseTensor` does as well.
        y_pred: Similarities of anchors and positives, `[batch, batch]`.

    Returns:
        A scalar.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.npairs_multilabel_loss([[1, 0, 1], [0, 1, 1]], [[0.0, 0.0], [0.0, 0.0]])  # log(2)
    ```
    """
    if hasattr(y_true, "dense_shape"):
        import tensorflow as tf

        y_true = tf.sparse.to_dense(y_true)
    return NpairsMultilabelLoss()(y_true, y_pred)


def pairwise_distance(feature: Tensor, squared: bool = False) -> Tensor:
    """The Euclidean distances of all pairs of embeddings.

    Args:
        feature: Embeddings `[n, dim]`.
        squared: Whether to return their squares. Defaults to `False`.

    Returns:
        `[n, n]`, 0 on the diagonal.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.pairwise_distance([[0.0, 0.0], [3.0, 4.0]])  # [[0.0, 5.0], [5.0, 0.0]]
    ```
    """
    distance = distances.get("squared_euclidean" if squared else "euclidean")
    return _all_pairs(distance, feature)


def angular_distance(feature: Tensor) -> Tensor:
    """The cosine distances, 1 - cosine, of all pairs of embeddings.

    Args:
        feature: Embeddings `[n, dim]`.

    Returns:
        `[n, n]`.

    Example:

    ```python
    from tensorflow_similarity.compat import tensorflow_addons as tfa

    tfa.angular_distance([[1.0, 0.0], [0.0, 2.0]])  # [[0.0, 1.0], [1.0, 0.0]]
    ```
    """
    return _all_pairs(distances.get("cosine"), feature)


def _all_pairs(distance: distances.Distance, feature: Tensor) -> Tensor:
    feature = ops.convert_to_tensor(feature)
    number = ops.shape(feature)[0]
    apart = ops.subtract(1, ops.eye(number, dtype=feature.dtype))
    return distance.pairwise(feature, feature) * apart


def __getattr__(name: str) -> object:
    # So that `tfa.losses.TripletSemiHardLoss` needs another import, and nothing else.
    if name in ("losses", "metric_learning"):
        return sys.modules[__name__]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
