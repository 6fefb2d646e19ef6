"""Parts of TensorFlow Similarity 0.17, under their old names and with their old defaults."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tensorflow_similarity import architectures, retrieval_metrics
from tensorflow_similarity._checks import count
from tensorflow_similarity.compat._old_index import convert_index
from tensorflow_similarity.compat._old_weights import load_weights
from tensorflow_similarity.compat._xbm import XBM
from tensorflow_similarity.models import SimilarityModel

__all__ = [
    "XBM",
    "RecallAtK",
    "ResNet50Sim",
    "WarmupCosineDecay",
    "batch_class_ratio",
    "convert_index",
    "is_tensor_or_variable",
    "load_weights",
    "tf_cap_memory",
    "unpack_lookup_distances",
    "unpack_lookup_labels",
]

# Stands for a missing neighbour.
_NO_LABEL = 0x7FFFFFFF


def WarmupCosineDecay(  # noqa: N802 (TensorFlow Similarity's name)
    max_learning_rate: float,
    total_steps: int,
    warmup_steps: int,
    alpha: float = 0.0,
    name: str | None = None,
) -> keras.optimizers.schedules.CosineDecay:
    """A learning rate that rises linearly from 0, and falls by a cosine: Keras' `CosineDecay`.

    Args:
        max_learning_rate: The learning rate after the warm-up.
        total_steps: Total number of steps, including the warm-up.
        warmup_steps: Number of steps of the warm-up.
        alpha: The last learning rate, as a fraction of `max_learning_rate`. Defaults to 0.
        name: The name of the schedule.

    Raises:
        ValueError: If `warmup_steps` is not below `total_steps`.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import WarmupCosineDecay

    float(WarmupCosineDecay(0.1, total_steps=1000, warmup_steps=100)(50))  # 0.05
    ```
    """
    if not count(warmup_steps, "warmup_steps", minimum=0) < count(total_steps, "total_steps"):
        raise ValueError(
            "`warmup_steps` must be below `total_steps`. Received: "
            f"warmup_steps={warmup_steps}, total_steps={total_steps}."
        )
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(
            max_learning_rate, total_steps, alpha=alpha, name=name or "CosineDecay"
        )
    return keras.optimizers.schedules.CosineDecay(
        0.0,
        total_steps - warmup_steps,
        alpha=alpha,
        name=name or "CosineDecay",
        warmup_target=max_learning_rate,
        warmup_steps=warmup_steps,
    )


def ResNet50Sim(  # noqa: N802 (TensorFlow Similarity's name)
    input_shape: tuple[int, int, int],
    embedding_size: int = 128,
    weights: str | None = "imagenet",
    trainable: str | int = "frozen",
    l2_norm: bool = True,
    include_top: bool = True,
    pooling: str | None = "gem",
    gem_p: float = 3.0,
) -> SimilarityModel:
    """`architectures.ResNet50Sim` without preprocessing inside, for inputs that had theirs.

    Args:
        input_shape: `(height, width, 3)` of what
            `keras.applications.resnet50.preprocess_input` returned.
        embedding_size: Numbers in an embedding. Defaults to 128.
        weights: `"imagenet"` (the default), a file, or `None`.
        trainable: `"frozen"` (the default), `"partial"` or `"full"`.
        l2_norm: Whether embeddings have length 1. Defaults to `True`.
        include_top: Whether there is an embedding head. Defaults to `True`.
        pooling: `"gem"` (the default), `"avg"` or `"max"`.
        gem_p: The power of `"gem"`. Defaults to 3.

    Returns:
        A `SimilarityModel`, not compiled.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import ResNet50Sim

    ResNet50Sim((32, 32, 3), embedding_size=16, weights=None).output_shape[1]  # 16
    ```
    """
    return architectures.ResNet50Sim(
        input_shape,
        embedding_size,
        weights,
        trainable,
        l2_norm,
        include_top,
        pooling,
        gem_p,
        preprocessing=None,
    )


class RecallAtK(retrieval_metrics.RecallAtK):
    """`retrieval_metrics.RecallAtK`, which results call `recall@k` in place of `hit_rate@k`.

    Args:
        name: What results call it; `@k` is appended. Defaults to `"recall"`.
        **kwargs: As for `retrieval_metrics.RecallAtK`.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import RecallAtK

    RecallAtK(k=4).name  # 'recall@4'
    ```
    """

    def __init__(self, name: str = "recall", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)


def batch_class_ratio(sampler: Iterable[Any], num_batches: int = 100) -> float:
    """The number of examples of a class in a batch, on average: 2 or more for losses on pairs.

    Args:
        sampler: Yields batches `(x, y)`.
        num_batches: How many to look at. Defaults to 100.

    Raises:
        ValueError: If there is no batch.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.compat.tensorflow_similarity import batch_class_ratio
    from tensorflow_similarity.samplers import MultiShotMemorySampler

    x, y = np.random.rand(100, 8), np.repeat(np.arange(10), 10)
    batch_class_ratio(MultiShotMemorySampler(x, y, 5, 3, steps_per_epoch=10))  # 3.0
    ```
    """
    batches = itertools.islice(iter(sampler), count(num_batches, "num_batches"))
    labels = [np.asarray(batch[1]).reshape(-1) for batch in batches]
    if not labels:
        raise ValueError("`sampler` must yield at least one batch. Received: none.")
    return float(np.mean([len(y) / len(np.unique(y)) for y in labels]))


def is_tensor_or_variable(x: object) -> bool:
    """Whether `x` is a tensor or a variable.

    Args:
        x: Anything.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import is_tensor_or_variable

    is_tensor_or_variable([1.0])  # False
    ```
    """
    return bool(keras.ops.is_tensor(x) or tf.is_tensor(x) or isinstance(x, keras.Variable))


def tf_cap_memory() -> None:
    """Lets TensorFlow take memory of a GPU as it needs it, in place of all.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import tf_cap_memory

    tf_cap_memory()
    ```
    """
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def unpack_lookup_labels(lookups: Sequence[Any], dtype: object = "int32") -> np.ndarray:
    """The labels of neighbors, `[queries, k]`: those of `neighbors.labels` for an index.

    Args:
        lookups: A list of `Lookup` for each query, or `Neighbors`.
        dtype: Of the result. Defaults to `"int32"`.

    Returns:
        The labels; 2,147,483,647 where a query has fewer neighbors than others.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import unpack_lookup_labels
    from tensorflow_similarity.index import Lookup

    unpack_lookup_labels([[Lookup(1, 0.1, 7)], [Lookup(1, 0.2, 8)]])  # [[7], [8]]
    ```
    """
    return _columns(lookups, "label", _NO_LABEL, dtype)


def unpack_lookup_distances(
    lookups: Sequence[Any], dtype: object = "float32", distance_rounding: int | None = None
) -> np.ndarray:
    """The distances of neighbors, `[queries, k]`: those of `neighbors.distances` for an index.

    Args:
        lookups: A list of `Lookup` for each query, or `Neighbors`.
        dtype: Of the result. Defaults to `"float32"`.
        distance_rounding: Decimals to round to. Defaults to `None`: none.

    Returns:
        The distances; inf where a query has fewer neighbors than others.

    Example:

    ```python
    from tensorflow_similarity.compat.tensorflow_similarity import unpack_lookup_distances
    from tensorflow_similarity.index import Lookup

    unpack_lookup_distances([[Lookup(1, 0.1, 7)], [Lookup(1, 0.2, 8)]])  # [[0.1], [0.2]]
    ```
    """
    found = _columns(lookups, "distance", np.inf, dtype)
    return found if distance_rounding is None else np.round(found, distance_rounding)


def _columns(lookups: Sequence[Any], field: str, missing: Any, dtype: object) -> np.ndarray:
    rows = [[getattr(lookup, field) for lookup in row] for row in lookups]
    width = max((len(row) for row in rows), default=0)
    filled = [
        [missing if value is None else value for value in row] + [missing] * (width - len(row))
        for row in rows
    ]
    return np.array(filled, dtype=tf.as_dtype(dtype).as_numpy_dtype).reshape(len(rows), width)


def __dir__() -> list[str]:
    return sorted(__all__)
