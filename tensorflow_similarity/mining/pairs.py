"""Queries against keys: their distances, and masks of positive and negative pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from tensorflow_similarity._types import Tensor

__all__ = [
    "Pairs",
    "Rows",
    "get_relevance",
    "hierarchy",
    "jaccard",
    "labels_of",
    "matrix",
    "multi_hot",
    "pairs_by_class",
    "pairs_by_relevance",
    "relevance_config",
]


class Pairs(NamedTuple):
    """Distances between queries and keys, with masks of positive and negative pairs.

    The input of losses and miners. A pair is positive if both examples are of the same class
    (or relevant to each other, according to `relevance`), negative if they are not, and neither
    if that is unknown. A query's pair with itself is neither.

    Attributes:
        distances: Float `[queries, keys]`, smaller is more similar.
        positives: Bool `[queries, keys]`, the positive pairs.
        negatives: Bool `[queries, keys]`, the negative pairs.
        relevance: Float `[queries, keys]`, the relevance of keys; None for class ids.
        queries: Embeddings `[queries, dim]`.
        keys: Embeddings `[keys, dim]`.
        positions: int32 `[queries]`, the row of the query among the keys; -1 if it is not one
            of them.
        labels: The labels of the queries, `[queries]` for class ids.
        outputs: The model outputs for the queries, `[queries, ...]`: the embeddings, and values
            that a head has appended.
    """

    distances: Tensor
    positives: Tensor
    negatives: Tensor
    relevance: Tensor | None = None
    queries: Any = None
    keys: Any = None
    positions: Any = None
    labels: Any = None
    outputs: Any = None

    def positive_weights(self) -> Tensor:
        """The relevance of the positive pairs, float `[queries, keys]`; 1 for class ids."""
        ones = ops.cast(self.positives, self.distances.dtype)
        if self.relevance is None:
            return ones
        relevance = ops.cast(self.relevance, self.distances.dtype)
        return ops.where(self.positives, relevance, 0)


#: The name of `Pairs` in earlier versions.
Rows = Pairs


def pairs_by_class(
    query_labels: Tensor,
    key_labels: Tensor,
    query_positions: Tensor,
    query_known: Tensor | None = None,
    key_known: Tensor | None = None,
) -> tuple[Any, Any]:
    """The masks of positive and of negative pairs, bool `[queries, keys]` each.

    Args:
        query_labels: Class ids `[queries]`.
        key_labels: Class ids `[keys]`.
        query_positions: int32 `[queries]`: the row of a query among the keys, -1 if it is
            not one of them.
        query_known: Bool `[queries]`, the queries of known class; None for all. The others
            are in no pair.
        key_known: Bool `[keys]`, likewise.
    """
    another = _another(query_positions, ops.shape(key_labels)[0])
    if query_known is not None:
        another = ops.logical_and(another, query_known[:, None])
    if key_known is not None:
        another = ops.logical_and(another, key_known[None, :])
    same = ops.equal(query_labels[:, None], key_labels[None, :])
    return ops.logical_and(same, another), ops.logical_and(ops.logical_not(same), another)


def pairs_by_relevance(relevance: Tensor, query_positions: Tensor) -> tuple[Any, Any]:
    """The masks of positive and of negative pairs, bool `[queries, keys]` each.

    Args:
        relevance: Bool or a number `[queries, keys]`: above 0 for positive pairs, NaN for
            unknown ones, which are neither.
        query_positions: As for `pairs_by_class`.
    """
    another = _another(query_positions, ops.shape(relevance)[1])
    relevance = ops.cast(relevance, "float32")
    return ops.logical_and(relevance > 0, another), ops.logical_and(relevance <= 0, another)


def _another(query_positions: Tensor, keys: Tensor) -> Tensor:
    """Which keys are not the query itself, bool `[queries, keys]`."""
    return ops.not_equal(query_positions[:, None], ops.arange(keys, dtype="int32")[None, :])


def matrix(query_labels: Tensor, key_labels: Tensor) -> Tensor:
    """Returns labels that are the relevance matrix `[queries, keys]` itself.

    Args:
        query_labels: Bool or float `[queries, keys]`.
        key_labels: Ignored.
    """
    return query_labels


def multi_hot(query_labels: Tensor, key_labels: Tensor) -> Tensor:
    """The number of labels that two examples share, `[queries, keys]`.

    Args:
        query_labels: Multi-hot labels `[queries, classes]`.
        key_labels: Multi-hot labels `[keys, classes]`.
    """
    query_labels, key_labels = (ops.cast(x, "float32") for x in (query_labels, key_labels))
    return ops.matmul(query_labels, ops.transpose(key_labels))


def jaccard(query_labels: Tensor, key_labels: Tensor) -> Tensor:
    """The Jaccard index of the labels of two examples, `[queries, keys]`.

    Two examples without any label have relevance 0.

    Args:
        query_labels: Multi-hot labels `[queries, classes]`.
        key_labels: Multi-hot labels `[keys, classes]`.
    """
    shared = multi_hot(query_labels, key_labels)
    sizes = [ops.sum(ops.cast(x, "float32"), axis=1) for x in (query_labels, key_labels)]
    every = sizes[0][:, None] + sizes[1][None, :] - shared
    return shared / ops.maximum(every, 1)


def hierarchy(query_labels: Any, key_labels: Any) -> Any:
    """The fraction of levels that two examples share, `[queries, keys]`.

    Levels count up to the first that differs or is unknown (-1). A pair whose coarsest level is
    unknown has NaN.

    Args:
        query_labels: Class ids `[queries, levels]`, coarse to fine.
        key_labels: Class ids `[keys, levels]`.
    """
    queries, keys = query_labels[:, None, :], key_labels[None, :, :]
    same = ops.logical_and(ops.equal(queries, keys), ops.not_equal(queries, -1))
    shared = ops.mean(ops.cumprod(ops.cast(same, "float32"), axis=2), axis=2)
    unknown = ops.logical_or(ops.equal(queries[..., 0], -1), ops.equal(keys[..., 0], -1))
    return ops.where(unknown, float("nan"), shared)


# Each function, and what labels are for it.
_BY_NAME: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "multi_hot": (multi_hot, "rows of several labels"),
    "jaccard": (jaccard, "rows of several labels"),
    "hierarchy": (hierarchy, "class ids of several levels"),
    "matrix": (matrix, "a relevance matrix"),
}


def get_relevance(relevance: object) -> Callable[[Any, Any], Any] | None:
    """Resolves how labels determine which pairs are positive.

    Args:
        relevance: None (labels are class ids); `"multi_hot"` or `"jaccard"`, for multi-hot
            labels; `"hierarchy"`, for class ids `[batch, levels]` from coarse to fine;
            `"matrix"`, for labels that are the relevance itself, `[batch, batch]`; or a function
            `(query_labels, key_labels) -> [queries, keys]`, bool, or a number that is above 0
            for positive pairs and NaN for unknown ones.

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
        return _BY_NAME[relevance][0]
    if relevance is None or callable(relevance):
        return relevance
    raise TypeError(
        f"`relevance` must be one of {list(_BY_NAME)}, or a function (query_labels, key_labels) "
        f"-> [queries, keys]. Received: {relevance!r}."
    )


def relevance_config(relevance: object) -> Any:
    """The name of a result of `get_relevance`, or its serialised form if it has none."""
    for name, (function, _) in _BY_NAME.items():
        if function is relevance:
            return name
    return None if relevance is None else keras.saving.serialize_keras_object(relevance)


def labels_of(relevance: object) -> str | None:
    """What labels are for a result of `get_relevance`, in words; None if only the user knows."""
    if relevance is None:
        return "class ids"
    return next((labels for function, labels in _BY_NAME.values() if function is relevance), None)
