"""All positives of each query, by number instead of by mask."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

__all__ = ["Slots", "class_slots", "relevance_slots"]


class Slots(NamedTuple):
    """Positive number r of query i is `order[..., first[i] + r]`, itself left out.

    Attributes:
        order: Keys so ordered that a query's positives stand side by side:
            `[keys]` for all queries, or `[queries, keys]`.
        first: int32 `[queries]`, where they begin in `order`.
        count: int32 `[queries]`, how many there are, the query itself not counted.
        own: int32 `[queries]`, the query's own place in `order`, beyond all
            others where it is not among its positives.
    """

    order: Any
    first: Any
    count: Any
    own: Any

    def take(self, begin: Any, width: int) -> tuple[Any, Any]:
        """Positives number `begin` to `begin + width - 1`.

        Returns:
            Their keys, int32 `[queries, width]`, and which of these exist, bool.
        """
        number = begin + ops.arange(width)[None, :]
        exists = number < self.count[:, None]
        place = self.first[:, None] + number
        place = place + ops.cast(place >= self.own[:, None], "int32")
        keys = ops.shape(self.order)[-1]
        place = ops.where(exists, place, ops.zeros_like(place))
        place = ops.minimum(place, keys - 1)
        if len(self.order.shape) == 1:
            return ops.take(self.order, place), exists
        return ops.take_along_axis(self.order, place, axis=1), exists


def class_slots(query_labels: Any, key_labels: Any, query_places: Any) -> Slots:
    """Slots by class ids: one sort of the keys, and no matrix.

    Args:
        query_labels: int64 `[queries]`.
        key_labels: int64 `[keys]`.
        query_places: int32 `[queries]`, see `relevant_pairs`.
    """
    order = ops.cast(ops.argsort(key_labels), "int32")
    labels = ops.take(key_labels, order)
    first = ops.cast(ops.searchsorted(labels, query_labels, side="left"), "int32")
    end = ops.cast(ops.searchsorted(labels, query_labels, side="right"), "int32")
    is_key = query_places >= 0
    place_of_key = ops.cast(ops.argsort(order), "int32")
    own = ops.take(place_of_key, ops.maximum(query_places, 0))
    beyond = ops.zeros_like(own) + ops.shape(key_labels)[0]
    own = ops.where(is_key, own, beyond)
    return Slots(order, first, end - first - ops.cast(is_key, "int32"), own)


def relevance_slots(positives: Any) -> Slots:
    """Slots by a mask of positives, bool `[queries, keys]`, in which no query meets itself."""
    order = ops.cast(ops.argsort(ops.logical_not(positives), axis=1), "int32")
    count = ops.sum(ops.cast(positives, "int32"), axis=1)
    zeros = ops.zeros_like(count)
    return Slots(order, zeros, count, zeros + ops.shape(positives)[1])
