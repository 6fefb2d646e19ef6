"""Metrics of classification by matching, at distance thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tensorflow_similarity.classification_metrics.binary_accuracy import BinaryAccuracy
from tensorflow_similarity.classification_metrics.classification_metric import ClassificationMetric
from tensorflow_similarity.classification_metrics.f1_score import F1Score
from tensorflow_similarity.classification_metrics.false_positive_rate import FalsePositiveRate
from tensorflow_similarity.classification_metrics.negative_predictive_value import (
    NegativePredictiveValue,
)
from tensorflow_similarity.classification_metrics.precision import Precision
from tensorflow_similarity.classification_metrics.recall import Recall
from tensorflow_similarity.classification_metrics.row_f1 import RowF1

__all__ = [
    "BinaryAccuracy",
    "ClassificationMetric",
    "F1Score",
    "FalsePositiveRate",
    "NegativePredictiveValue",
    "Precision",
    "Recall",
    "RowF1",
    "make_classification_metric",
]

_BY_NAME: dict[str, type[Any]] = {
    "precision": Precision,
    "recall": Recall,
    "f1": F1Score,
    "f1score": F1Score,
    "f1_score": F1Score,
    "binary_accuracy": BinaryAccuracy,
    "npv": NegativePredictiveValue,
    "negative_predictive_value": NegativePredictiveValue,
    "fpr": FalsePositiveRate,
    "false_positive_rate": FalsePositiveRate,
    "row_f1": RowF1,
}


def make_classification_metric(
    metric: str | ClassificationMetric, name: str = ""
) -> ClassificationMetric:
    """Resolves a classification metric.

    Args:
        metric: A name: precision, recall, f1, binary_accuracy, npv, fpr (or the
            long forms), row_f1, or a `ClassificationMetric`.
        name: Another name for results to call it; empty: `metric` as it was given, or the
            object's own.

    Raises:
        ValueError: If there is no metric of that name.
        TypeError: If `metric` is neither.

    Example:

    ```python
    from tensorflow_similarity.classification_metrics import make_classification_metric

    make_classification_metric("f1")  # F1Score(name='f1')
    ```
    """
    if isinstance(metric, str):
        if metric.lower() not in _BY_NAME:
            raise ValueError(
                f"Unknown classification metric. Expected one of {sorted(_BY_NAME)}. "
                f"Received: {metric!r}."
            )
        # Results are found under the name that was asked for.
        name = name or metric
        found = _BY_NAME[metric.lower()]()
    elif isinstance(metric, ClassificationMetric):
        found = metric
    else:
        raise TypeError(
            f"A classification metric must be one of {sorted(_BY_NAME)} or a "
            f"ClassificationMetric. Received: {metric!r}."
        )
    if name:
        found.name = name
    return found


def classification_metrics(metrics: Any, argument: str) -> list[ClassificationMetric]:
    """Resolves several metrics, or a single one.

    Args:
        metrics: What `make_classification_metric` takes, or several of them.
        argument: The argument's name, for errors.

    Raises:
        ValueError: If there is no metric of a name.
        TypeError: If `metrics` are neither.
    """
    if isinstance(metrics, str | ClassificationMetric):
        metrics = [metrics]
    if isinstance(metrics, Mapping) or not isinstance(metrics, Iterable):
        raise TypeError(
            f"`{argument}` must be names of classification metrics, such as ['precision'], or "
            f"ClassificationMetric objects. Received: {metrics!r}."
        )
    try:
        return [make_classification_metric(metric) for metric in metrics]
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{argument}`: {error}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
