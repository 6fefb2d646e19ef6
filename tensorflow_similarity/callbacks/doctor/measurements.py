"""One examination: figures that describe the embeddings of a batch."""

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
    """The figures of one examination; NaN where something could not be measured.

    Attributes:
        step: Training steps before it.
        finite: Whether all embeddings are finite.
        loss: The loss of the batch.
        chance_loss: The loss it would have if all embeddings were equal.
        active_queries: Fraction of queries whose loss is above 0.
        queries_without_positives: Fraction of queries that are alone in their class.
        queries_without_negatives: Fraction of queries without an example of another class.
        mean_cosine: The mean cosine between embeddings.
        effective_rank: See `training_metrics.EffectiveRank`.
        positive_distance: The mean distance within classes.
        negative_distance: The mean distance between classes.
        separation: ROC AUC of distances, the probability that a same-class pair is nearer than a
            pair of two classes: 0.5 is chance, 1 perfect.
        mean_norm: The mean length of the embeddings.
        norm_variation: The standard deviation of the lengths, divided by their mean.
        suspected: Fraction of examples far nearer to another class than to their own.
        examples: Number of examples in the batch.
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
        """Relative difference between the loss and its chance value."""
        return abs(self.loss / self.chance_loss - 1) if self.chance_loss > 0 else math.nan


def pairwise(distance: Distance, embeddings: np.ndarray) -> np.ndarray:
    """Distances between all examples of a batch, float64 `[batch, batch]`."""
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
        loss: The pair loss the model is trained with, or None.
    """
    same = labels[:, None] == labels[None, :]
    pairs = np.triu_indices(len(labels), 1)
    values, positive = distances[pairs], same[pairs]
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    signs: dict[str, Any] = {
        "positive_distance": _mean(values[positive]),
        "negative_distance": _mean(values[~positive]),
        "queries_without_negatives": float(same.all(axis=1).mean()),
        "examples": len(labels),
        "mean_norm": float(norms.mean()),
        "norm_variation": float(norms.std() / norms.mean()) if norms.any() else math.nan,
    }
    for metric in (MeanCosine(), EffectiveRank(), QueriesWithoutPositives()):
        metric.update_state(labels, embeddings)
        signs[metric.name] = float(ops.convert_to_numpy(metric.result()))
    if positive.any() and not positive.all() and np.isfinite(values).all():
        signs["separation"] = roc_auc(values, positive)
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
    """Equal embeddings of length 1 with unequal coordinates (SNR divides by their variance)."""
    row = np.linspace(-1.0, 1.0, shape[1]) if shape[1] > 1 else np.ones(1)
    return np.tile((row / np.linalg.norm(row)).astype(np.float32), (shape[0], 1))
