"""What labels that are not class ids say about pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

__all__ = ["get_relevance", "jaccard", "multi_hot", "relevance_config"]


def multi_hot(query_labels: Any, key_labels: Any) -> Any:
    """The number of labels that two examples share, `[queries, keys]`.

    Args:
        query_labels: Multi-hot labels `[queries, classes]`.
        key_labels: Multi-hot labels `[keys, classes]`.
    """
    query_labels, key_labels = (ops.cast(x, "float32") for x in (query_labels, key_labels))
    return ops.matmul(query_labels, ops.transpose(key_labels))


def jaccard(query_labels: Any, key_labels: Any) -> Any:
    """The labels that two examples share, as a part of all that they have, `[queries, keys]`.

    Two examples without any label are not alike.

    Args:
        query_labels: Multi-hot labels `[queries, classes]`.
        key_labels: Multi-hot labels `[keys, classes]`.
    """
    shared = multi_hot(query_labels, key_labels)
    sizes = [ops.sum(ops.cast(x, "float32"), axis=1) for x in (query_labels, key_labels)]
    every = sizes[0][:, None] + sizes[1][None, :] - shared
    return shared / ops.maximum(every, 1)


_BY_NAME: dict[str, Callable[[Any, Any], Any]] = {"multi_hot": multi_hot, "jaccard": jaccard}


def get_relevance(relevance: Any) -> Callable[[Any, Any], Any] | None:
    """Resolves how labels say which pairs are alike.

    Args:
        relevance: None (labels are class ids, or a matrix); `"multi_hot"` or
            `"jaccard"`, for multi-hot labels; or a function
            `(query_labels, key_labels) -> [queries, keys]`, bool, or a number above
            0 where a pair is alike and NaN where that is not known.

    Raises:
        ValueError: If there is none of that name.
        TypeError: If it is neither a name nor a function.

    Example:

    ```python
    from tensorflow_similarity import mining

    mining.get_relevance("jaccard")([[1, 0, 1]], [[1, 1, 1], [0, 1, 0]])  # [[2 / 3, 0]]
    ```
    """
    if isinstance(relevance, dict):
        relevance = keras.saving.deserialize_keras_object(relevance)
    if isinstance(relevance, str):
        if relevance not in _BY_NAME:
            raise ValueError(
                f"`relevance` must be one of {list(_BY_NAME)}, or a function (query_labels, "
                f"key_labels) -> [queries, keys]. Received: {relevance!r}."
            )
        return _BY_NAME[relevance]
    if relevance is None or callable(relevance):
        return relevance
    raise TypeError(
        f"`relevance` must be one of {list(_BY_NAME)}, or a function (query_labels, key_labels) "
        f"-> [queries, keys]. Received: {relevance!r}."
    )


def relevance_config(relevance: Any) -> Any:
    """The name of what `get_relevance` returned where it has one, else its serialised form."""
    for name, function in _BY_NAME.items():
        if function is relevance:
            return name
    return None if relevance is None else keras.saving.serialize_keras_object(relevance)
