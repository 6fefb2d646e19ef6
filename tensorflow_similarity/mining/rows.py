"""Rows of the picture that all losses share: queries against keys."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

__all__ = ["Rows", "is_relevance", "relevant_pairs"]


class Rows(NamedTuple):
    """Some queries against all keys: distances, and which pairs are alike.

    A query's pair with itself is neither positive nor negative.

    Attributes:
        distances: Float `[queries, keys]`, smaller is more alike.
        positives: Bool `[queries, keys]`, pairs that are alike.
        negatives: Bool `[queries, keys]`, pairs that are not.
        relevance: Float `[queries, keys]`, how alike they are, where labels say
            so; None where pairs are alike or not.
        queries: Embeddings `[queries, dim]`.
        keys: Embeddings `[keys, dim]`.
    """

    distances: Any
    positives: Any
    negatives: Any
    relevance: Any = None
    queries: Any = None
    keys: Any = None

    def positive_weights(self) -> Any:
        """How alike the positive pairs are, float `[queries, keys]`; 1 by class ids."""
        ones = ops.cast(self.positives, self.distances.dtype)
        if self.relevance is None:
            return ones
        relevance = ops.cast(self.relevance, self.distances.dtype)
        return ops.where(self.positives, relevance, 0)


def is_relevance(labels: Any) -> bool:
    """Whether labels are relevance `[queries, keys]` and not class ids `[queries]`."""
    return len(labels.shape) == 2


def relevant_pairs(
    query_labels: Any,
    key_labels: Any,
    query_places: Any,
    key_places: Any,
    ignore_class: int | None = None,
) -> tuple[Any, Any]:
    """The masks of positive and of negative pairs, each bool `[queries, keys]`.

    Args:
        query_labels: Class ids `[queries]`, or relevance `[queries, keys]`: bool,
            or a number that is above 0 where a pair is alike, and NaN where that
            is not known: such a pair is neither.
        key_labels: Class ids `[keys]`; not looked at for relevance.
        query_places: Integers `[queries]`: a query's own place among the keys,
            -1 where it is not one of them.
        key_places: Integers `[keys]`: 0, 1, 2 …
        ignore_class: A class id whose examples are in no pair, neither positive
            nor negative. None: every id is a class.
    """
    another = ops.not_equal(query_places[:, None], key_places[None, :])
    if is_relevance(query_labels):
        relevance = ops.cast(query_labels, "float32")
        return ops.logical_and(relevance > 0, another), ops.logical_and(relevance <= 0, another)
    if ignore_class is not None:
        another = ops.logical_and(another, ops.not_equal(query_labels, ignore_class)[:, None])
        another = ops.logical_and(another, ops.not_equal(key_labels, ignore_class)[None, :])
    alike = ops.equal(query_labels[:, None], key_labels[None, :])
    return ops.logical_and(alike, another), ops.logical_and(ops.logical_not(alike), another)
