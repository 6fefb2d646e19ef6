"""Rows of the picture that all losses share: queries against keys."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

__all__ = ["Rows", "is_relevance", "relevance_of", "relevant_pairs"]


class Rows(NamedTuple):
    """Some queries against all keys: distances, and which pairs are alike.

    A query's pair with itself is neither positive nor negative.

    Attributes:
        distances: Float `[queries, keys]`, smaller is more alike.
        positives: Bool `[queries, keys]`, pairs that are alike.
        negatives: Bool `[queries, keys]`, pairs that are not.
        relevance: Float `[queries, keys]`, how alike they are, where labels say
            so; None where pairs are alike or not.
    """

    distances: Any
    positives: Any
    negatives: Any
    relevance: Any = None

    def positive_weights(self) -> Any:
        """How alike the positive pairs are, float `[queries, keys]`; 1 by class ids."""
        ones = ops.cast(self.positives, self.distances.dtype)
        if self.relevance is None:
            return ones
        return ones * ops.cast(self.relevance, self.distances.dtype)


def is_relevance(labels: Any) -> bool:
    """Whether labels are relevance `[queries, keys]` and not class ids `[queries]`."""
    return len(labels.shape) == 2


def relevance_of(query_labels: Any, key_labels: Any) -> Any:
    """Which keys are alike to each query, bool `[queries, keys]`.

    Args:
        query_labels: Class ids `[queries]`, or relevance `[queries, keys]`
            (bool, or a number that is above 0 where a pair is alike).
        key_labels: Class ids `[keys]`; not looked at for relevance.
    """
    if is_relevance(query_labels):
        return ops.cast(query_labels, "float32") > 0
    return ops.equal(query_labels[:, None], key_labels[None, :])


def relevant_pairs(
    query_labels: Any,
    key_labels: Any,
    query_places: Any,
    key_places: Any,
    no_class: int | None = None,
) -> tuple[Any, Any]:
    """The masks of positive and of negative pairs, each bool `[queries, keys]`.

    Args:
        query_labels: See `relevance_of`.
        key_labels: See `relevance_of`.
        query_places: Integers `[queries]`: a query's own place among the keys,
            -1 where it is not one of them.
        key_places: Integers `[keys]`: 0, 1, 2 …
        no_class: A class id whose examples are in no pair, neither positive nor
            negative. None: every id is a class.
    """
    alike = relevance_of(query_labels, key_labels)
    another = ops.not_equal(query_places[:, None], key_places[None, :])
    if no_class is not None and not is_relevance(query_labels):
        another = ops.logical_and(another, ops.not_equal(query_labels, no_class)[:, None])
        another = ops.logical_and(another, ops.not_equal(key_labels, no_class)[None, :])
    return ops.logical_and(alike, another), ops.logical_not(alike) & another
