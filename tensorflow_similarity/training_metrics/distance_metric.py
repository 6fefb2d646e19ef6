"""Distances of positives and negatives during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import distances
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.mining import get_negative, get_positive
from tensorflow_similarity.mining.strategies import MiningStrategy, SemiHard
from tensorflow_similarity.training_metrics.batch_metric import BatchMetric
from tensorflow_similarity.training_metrics.settings import distance_config, one_of

__all__ = [
    "DistanceMetric",
    "avg_neg",
    "avg_pos",
    "max_neg",
    "max_pos",
    "min_neg",
    "min_pos",
    "sum_neg",
    "sum_pos",
]

_AGGREGATES = ("mean", "avg", "max", "min", "sum")
_ANCHORS = ("positive", "negative")


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DistanceMetric(BatchMetric):
    """Distance between each example of a batch and its positives, or its negatives.

    Every example is a query, compared with the batch. The mining strategy selects the
    pairs of a query: the hardest (farthest positive, nearest negative), the easiest, or
    all. The result aggregates all queries of all batches since `reset_state`, which Keras
    calls every epoch. Queries without such a pair are ignored; if all are, the result is
    NaN.

    Args:
        distance: Distance between embeddings, see `distances.get`. With that of the
            loss, values are comparable with its margin.
        aggregate: `"mean"` (the default; `"avg"` is the same), `"max"`, `"min"` or
            `"sum"`.
        anchor: The pairs, `"positive"` (the default) or `"negative"`.
        name: Name of the metric. Defaults to `None`: aggregate and anchor, such as
            `"mean_pos"`.
        positive_mining_strategy: `"hard"` (the default), `"easy"` or `"all"`, or a
            `MiningStrategy`; for positives.
        negative_mining_strategy: The same, for negatives. Semi-hard negatives
            depend on a positive, and are not supported.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.

    `sample_weight`, if compiled as a weighted metric, weights queries in mean and sum;
    queries of weight 0 are excluded from max and min.

    Raises:
        ValueError: If an argument is not one of these.

    Example:

    ```python
    from tensorflow_similarity.training_metrics import DistanceMetric

    metric = DistanceMetric("euclidean", aggregate="max")
    metric.update_state([0, 0, 1], [[0.0], [2.0], [5.0]])
    float(metric.result())  # 2.0
    metric.update_state([0, 0, 1], [[0.0], [1.0], [5.0]])
    float(metric.result())  # 2.0 still: the largest of both batches
    ```
    """

    def __init__(
        self,
        distance: DistanceLike = "cosine",
        aggregate: str = "mean",
        anchor: str = "positive",
        name: str | None = None,
        positive_mining_strategy: str | MiningStrategy = "hard",
        negative_mining_strategy: str | MiningStrategy = "hard",
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        one_of(aggregate, "aggregate", _AGGREGATES)
        one_of(anchor, "anchor", _ANCHORS)
        super().__init__(
            name=name or f"{aggregate}_{anchor[:3]}",
            dtype=dtype,
            ignore_class=ignore_class,
            relevance=relevance,
        )
        self.distance = distances.get(distance)
        self.aggregate = aggregate
        self.anchor = anchor
        self.positive_mining_strategy = get_positive(positive_mining_strategy)
        self.negative_mining_strategy = get_negative(negative_mining_strategy)
        if isinstance(self.negative_mining_strategy, SemiHard):
            raise ValueError(
                "`negative_mining_strategy` must be 'hard', 'easy', 'all' or an object. Received: "
                "'semi-hard', which depends on a positive."
            )
        self._value = self.add_number("value")
        self._count = self.add_number("count")

    def update(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> None:
        values = self.distance(embeddings, embeddings)
        of_positives = self.anchor == "positive"
        strategy = self.positive_mining_strategy if of_positives else self.negative_mining_strategy
        candidates = positives if of_positives else negatives
        kept = strategy.keep(values, candidates, ops.zeros_like(weights))
        kept = ops.logical_and(kept, candidates)
        kept_weights = ops.where(kept, weights[:, None], 0)
        count = ops.cast(ops.sum(kept_weights), "float32")
        some, before = count > 0, self._count > 0
        if self.aggregate in ("max", "min"):
            sign = 1.0 if self.aggregate == "max" else -1.0
            extreme = sign * ops.max(ops.where(kept_weights > 0, sign * values, -float("inf")))
            extreme = ops.cast(extreme, "float32")
            kept_before = ops.convert_to_tensor(self._value)
            largest = sign * ops.maximum(sign * extreme, sign * kept_before)
            value = ops.where(before, largest, extreme)
            self._value.assign(ops.where(some, value, kept_before))
        else:
            # Not a product with the weights: that of 0 and an infinite distance is NaN.
            total = ops.sum(ops.where(kept_weights > 0, values * kept_weights, 0))
            self._value.assign_add(ops.cast(total, "float32"))
        self._count.assign_add(count)

    def result(self) -> Tensor:
        """The aggregate of all batches since the last `reset_state`, a float32 scalar."""
        value, count = ops.convert_to_tensor(self._value), ops.convert_to_tensor(self._count)
        some = count > 0
        if self.aggregate in ("mean", "avg"):
            value = value / ops.where(some, count, 1.0)
        return ops.where(some, value, float("nan"))

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        strategies = {
            side: keras.saving.serialize_keras_object(getattr(self, side))
            for side in ("positive_mining_strategy", "negative_mining_strategy")
        }
        return {
            **super().get_config(),
            "distance": distance_config(self.distance),
            "aggregate": self.aggregate,
            "anchor": self.anchor,
            **strategies,
        }


def avg_pos(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The mean over queries of the distance of the farthest positive; not of all positives.

    For the mean of all positive pairs see `DistanceMetric(positive_mining_strategy="all")`.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="mean")


def avg_neg(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The mean over queries of the distance of the nearest negative.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="mean", anchor="negative")


def max_pos(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The largest distance of a positive.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="max")


def max_neg(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The largest distance of a query's nearest negative.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="max", anchor="negative")


def min_pos(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The smallest distance of a query's farthest positive.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="min")


def min_neg(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The smallest distance of a negative.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="min", anchor="negative")


def sum_pos(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The sum over queries of the distance of the farthest positive.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="sum")


def sum_neg(distance: DistanceLike = "cosine") -> DistanceMetric:
    """The sum over queries of the distance of the nearest negative.

    Args:
        distance: See `DistanceMetric`.
    """
    return DistanceMetric(distance, aggregate="sum", anchor="negative")
