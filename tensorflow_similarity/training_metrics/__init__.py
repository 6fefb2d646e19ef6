"""Keras metrics for `compile(metrics=[...])` that describe the embeddings during training.

They take class ids and embeddings, like the losses, and compare each batch with itself.
"""

from typing import TYPE_CHECKING

from tensorflow_similarity import _old_names
from tensorflow_similarity.training_metrics.distance_metric import (
    DistanceMetric,
    avg_neg,
    avg_pos,
    max_neg,
    max_pos,
    min_neg,
    min_pos,
    sum_neg,
    sum_pos,
)
from tensorflow_similarity.training_metrics.pair_fractions import (
    ActivePairFraction,
    DistanceGapMetric,
    QueriesWithoutPositives,
    dist_gap,
)
from tensorflow_similarity.training_metrics.shape_metrics import EffectiveRank, MeanCosine

__all__ = [
    "ActivePairFraction",
    "DistanceGapMetric",
    "DistanceMetric",
    "EffectiveRank",
    "MeanCosine",
    "QueriesWithoutPositives",
    "avg_neg",
    "avg_pos",
    "dist_gap",
    "max_neg",
    "max_pos",
    "min_neg",
    "min_pos",
    "sum_neg",
    "sum_pos",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # A type checker is to know the names of today only.
    __getattr__ = _old_names.of(__name__)
