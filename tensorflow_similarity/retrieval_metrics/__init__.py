"""Retrieval metrics under the names of TensorFlow Similarity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_similarity.retrieval_metrics._base import RetrievalMetric
from tensorflow_similarity.retrieval_metrics._metrics import (
    BNDCG,
    MapAtK,
    PrecisionAtK,
    RecallAtK,
)

__all__ = [
    "BNDCG",
    "MapAtK",
    "PrecisionAtK",
    "RecallAtK",
    "RetrievalMetric",
    "make_retrieval_metric",
]

_BY_NAME: dict[str, type[Any]] = {
    "recall": RecallAtK,
    "precision": PrecisionAtK,
    "map": MapAtK,
    "bndcg": BNDCG,
}


def make_retrieval_metric(
    metric: object,
    k: int = 5,
    distance_threshold: float = float("inf"),
    r: Mapping[int, int] | None = None,
) -> RetrievalMetric:
    """Resolves a retrieval metric of TensorFlow Similarity.

    Args:
        metric: `"recall"`, `"precision"`, `"map"` or `"bndcg"` (`@k` may follow),
            or a `RetrievalMetric`, which is returned as it is.
        k: Number of neighbors looked at.
        distance_threshold: Neighbors farther than this are no match.
        r: Class id -> number of indexed examples; for `"map"`.

    Raises:
        ValueError: If there is no metric of that name.
        TypeError: If `metric` is neither.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import make_retrieval_metric

    make_retrieval_metric("precision", k=3).name  # 'precision@3'
    ```
    """
    if isinstance(metric, RetrievalMetric):
        return metric
    if not isinstance(metric, str):
        raise TypeError(
            f"A retrieval metric must be one of {sorted(_BY_NAME)} or a RetrievalMetric. "
            f"Received: {metric!r}."
        )
    name = metric.lower().removesuffix("@k")
    if name not in _BY_NAME:
        raise ValueError(
            f"Unknown retrieval metric. Expected one of {sorted(_BY_NAME)}. Received: {metric!r}."
        )
    arguments: dict[str, Any] = {"k": k, "distance_threshold": distance_threshold}
    if name == "map":
        arguments["r"] = r
    return _BY_NAME[name](**arguments)


def __dir__() -> list[str]:
    return sorted(__all__)
