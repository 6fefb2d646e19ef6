"""Metrics of how much a pair loss can learn from a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity._types import Tensor
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.training_metrics.batch_metric import BatchMean
from tensorflow_similarity.training_metrics.settings import distance_config

__all__ = ["ActivePairFraction", "DistanceGapMetric", "QueriesWithoutPositives", "dist_gap"]


def _hardest(values: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Any, Any, Any]:
    """Each query's farthest positive, its nearest negative, and whether it has both."""
    farthest = ops.max(ops.where(positives, values, -float("inf")), axis=1)
    nearest = ops.min(ops.where(negatives, values, float("inf")), axis=1)
    both = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
    return ops.where(both, farthest, 0), ops.where(both, nearest, 0), both


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class DistanceGapMetric(BatchMean):
    """The gap between the nearest negative and the farthest positive.

    The mean of `min_n d(q, n) - max_p d(q, p)` over the queries q that have both. Above 0,
    classes are separated on average; beyond the margin, a triplet loss has nothing left to
    do. It starts below 0, since it uses the hardest triplet of each query.

    Args:
        distance: Distance between embeddings, see `distances.get`.
        name: Name of the metric. Defaults to `"dist_gap"`.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.

    Example:

    ```python
    from tensorflow_similarity.training_metrics import DistanceGapMetric

    metric = DistanceGapMetric("euclidean")
    metric.update_state([0, 0, 1, 1], [[0.0], [1.0], [4.0], [5.0]])
    float(metric.result())  # (4 - 1 + 3 - 1 + 3 - 1 + 4 - 1) / 4 = 2.5
    ```
    """

    def __init__(
        self,
        distance: DistanceLike = "cosine",
        name: str | None = "dist_gap",
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(
            name=name or "dist_gap", dtype=dtype, ignore_class=ignore_class, relevance=relevance
        )
        self.distance = distances.get(distance)

    def sums(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> tuple[Any, Any]:
        values = self.distance(embeddings, embeddings)
        farthest, nearest, both = _hardest(values, positives, negatives)
        counted = ops.where(both, weights, 0)
        return ops.sum(ops.where(both, (nearest - farthest) * weights, 0)), ops.sum(counted)

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return {**super().get_config(), "distance": distance_config(self.distance)}


def dist_gap(distance: DistanceLike = "cosine") -> DistanceGapMetric:
    """`DistanceGapMetric`: the mean of nearest negative minus farthest positive.

    Args:
        distance: See `DistanceGapMetric`.
    """
    return DistanceGapMetric(distance)


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class ActivePairFraction(BatchMean):
    """The fraction of pairs that are hard enough to learn from.

    A positive pair (q, p) is active if a negative of q is nearer than
    d(q, p) + margin; a negative pair (q, n) if it is nearer than the farthest
    positive of q + margin. These are the pairs in triplets that violate the margin.
    The fraction is over all pairs of queries that have both kinds. It falls in successful
    training; at 0, a loss with that margin has nothing left to do.

    Args:
        distance: Distance between embeddings, see `distances.get`.
        margin: The margin, in units of the distance. Defaults to 1.0.
        name: Name of the metric. Defaults to `"active_pair_fraction"`.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.

    Raises:
        TypeError: If the margin is not a number.
        ValueError: If it is not finite.

    Example:

    ```python
    from tensorflow_similarity.training_metrics import ActivePairFraction

    metric = ActivePairFraction("euclidean", margin=0.5)
    metric.update_state([0, 0, 1, 1], [[0.0], [1.0], [2.2], [3.0]])
    float(metric.result())  # 0.333: of 12 pairs, 1.0 with its positive and 2.2, and 2.2 with theirs
    ```
    """

    def __init__(
        self,
        distance: DistanceLike = "cosine",
        margin: float = 1.0,
        name: str | None = "active_pair_fraction",
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(
            name=name or "active_pair_fraction",
            dtype=dtype,
            ignore_class=ignore_class,
            relevance=relevance,
        )
        self.distance = distances.get(distance)
        self.margin = checks.number(margin, "margin")

    def sums(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> tuple[Any, Any]:
        values = self.distance(embeddings, embeddings)
        farthest, nearest, both = _hardest(values, positives, negatives)
        hard_positive = positives & (values > (nearest - self.margin)[:, None])
        hard_negative = negatives & (values < (farthest + self.margin)[:, None])

        def number(pairs: Tensor) -> Tensor:
            counts = ops.sum(ops.cast(pairs, weights.dtype), axis=1)
            return ops.sum(ops.where(both, counts * weights, 0))

        active = ops.logical_or(hard_positive, hard_negative)
        return number(active), number(ops.logical_or(positives, negatives))

    def get_config(self) -> dict[str, Any]:
        """The constructor arguments."""
        return {
            **super().get_config(),
            "distance": distance_config(self.distance),
            "margin": self.margin,
        }


@keras.saving.register_keras_serializable(package="tensorflow_similarity")
class QueriesWithoutPositives(BatchMean):
    """The fraction of examples that are alone in their class in the batch.

    Losses on pairs and triplets learn nothing from them. With a sampler it is 0.

    Args:
        name: Name of the metric. Defaults to `"queries_without_positives"`.
        dtype: Accepted as in Keras, but computation is in float32.
        ignore_class: A class id for examples of unknown class, which are ignored, as for
            losses. Defaults to `None`: every id is a class.
        relevance: How labels other than class ids determine which pairs are positive, as for
            losses: see `mining.get_relevance`. Defaults to `None`.

    Example:

    ```python
    from tensorflow_similarity.training_metrics import QueriesWithoutPositives

    metric = QueriesWithoutPositives()
    metric.update_state([7, 7, 8, 9], [[0.0], [1.0], [2.0], [3.0]])
    float(metric.result())  # 0.5
    ```
    """

    of_embeddings = False

    def __init__(
        self,
        name: str | None = "queries_without_positives",
        dtype: Any = None,
        ignore_class: int | None = None,
        relevance: str | Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__(
            name=name or "queries_without_positives",
            dtype=dtype,
            ignore_class=ignore_class,
            relevance=relevance,
        )

    def sums(
        self, positives: Tensor, negatives: Tensor, embeddings: Tensor, weights: Tensor
    ) -> tuple[Any, Any]:
        return ops.sum(ops.where(ops.any(positives, axis=1), 0, weights)), ops.sum(weights)
