"""One examination: numbers that say how an embedding is doing on a batch."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.evaluation import roc_auc
from tensorflow_similarity.losses import MetricLoss
from tensorflow_similarity.training_metrics import (
    EffectiveRank,
    MeanCosine,
    QueriesWithoutPositives,
)

__all__ = ["VitalSigns", "examine", "pairwise"]


@dataclasses.dataclass(frozen=True)
class VitalSigns:
    """What one examination found. NaN is what could not be measured.

    Attributes:
        step: Steps of training before it.
        finite: Whether all embeddings are finite.
        loss: The loss of the batch, computed again.
        chance_loss: What it would be if all embeddings were equal.
        active_queries: The share of queries whose loss is above 0.
        queries_without_positives: The share of queries with no other of their class.
        queries_without_negatives: The share of queries with no other class.
        mean_cosine: The mean cosine between embeddings.
        effective_rank: See `training_metrics.EffectiveRank`.
        positive_distance: The mean distance within classes.
        negative_distance: The mean distance between classes.
        separation: How often a pair of one class is nearer than one of two: 0.5 is
            chance, 1 perfect.
        mean_norm: The mean length of the embeddings.
        norm_variation: The standard deviation of the lengths, divided by their mean.
        suspected: The share of examples far nearer to another class than to their own.
        examples: How many examples the batch had.
    """

    step: int
    finite: bool = True
    loss: float = math.nan
    chance_loss: float = math.nan
    active_queries: float = math.nan
    queries_without_positives: float = math.nan
    queries_without_negatives: float = math.nan
    mean_cosine: float = math.nan
    effective_rank: float = math.nan
    positive_distance: float = math.nan
    negative_distance: float = math.nan
    separation: float = math.nan
    mean_norm: float = math.nan
    norm_variation: float = math.nan
    suspected: float = math.nan
    examples: int = 0

    @property
    def off_chance(self) -> float:
        """How far the loss is from its chance value, relative to that."""
        return abs(self.loss / self.chance_loss - 1) if self.chance_loss > 0 else math.nan


def pairwise(distance: Distance, embeddings: np.ndarray) -> np.ndarray:
    """Distances of a batch with itself, float64 `[batch, batch]`."""
    values = keras.ops.convert_to_numpy(distance(embeddings, embeddings))
    return np.array(values, np.float64)


def examine(
    step: int,
    labels: np.ndarray,
    embeddings: np.ndarray,
    distances: np.ndarray,
    loss: MetricLoss | None,
) -> VitalSigns:
    """Examines a batch.

    Args:
        step: Steps of training so far.
        labels: int64 `[batch]`.
        embeddings: float32 `[batch, dim]`, finite.
        distances: float64 `[batch, batch]`.
        loss: The loss on pairs that is trained with, if it is one.
    """
    same = labels[:, None] == labels[None, :]
    pairs = np.triu_indices(len(labels), 1)
    values, alike = distances[pairs], same[pairs]
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    signs: dict[str, Any] = {
        "positive_distance": _mean(values[alike]),
        "negative_distance": _mean(values[~alike]),
        "queries_without_negatives": float(same.all(axis=1).mean()),
        "examples": len(labels),
        "mean_norm": float(norms.mean()),
        "norm_variation": float(norms.std() / norms.mean()) if norms.any() else math.nan,
    }
    for metric in (MeanCosine(), EffectiveRank(), QueriesWithoutPositives()):
        metric.update_state(labels, embeddings)
        signs[metric.name] = float(ops.convert_to_numpy(metric.result()))
    if alike.any() and not alike.all() and np.isfinite(values).all():
        signs["separation"] = roc_auc(values, alike)
    if loss is not None:
        both = (same.sum(axis=1) > 1) & ~same.all(axis=1)
        per_query = _losses(loss, labels, embeddings)
        signs["loss"] = float(per_query.mean())
        signs["chance_loss"] = float(_losses(loss, labels, _equal(embeddings.shape)).mean())
        signs["active_queries"] = _mean(per_query[both] > 1e-6)
    return VitalSigns(step, **signs)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def _losses(loss: MetricLoss, labels: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """The loss of each query."""
    predictions = loss.checked_predictions(embeddings)
    values = loss.call(loss.checked_labels(labels, len(labels)), predictions)
    return np.asarray(keras.ops.convert_to_numpy(values), np.float64)


def _equal(shape: tuple[int, ...]) -> np.ndarray:
    """Embeddings that are all equal, of length 1, and that vary over their axis (for SNR)."""
    row = np.linspace(-1.0, 1.0, shape[1]) if shape[1] > 1 else np.ones(1)
    return np.tile((row / np.linalg.norm(row)).astype(np.float32), (shape[0], 1))
