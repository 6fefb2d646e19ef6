"""The four metrics of TensorFlow Similarity: functions of which neighbors match."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity.classification_metrics.classification_metric import ratio
from tensorflow_similarity.evaluation.metrics import Ranking, hit_rate_at_k, precision_at_k
from tensorflow_similarity.evaluation.metrics.average_precision import sum_of_precisions
from tensorflow_similarity.evaluation.metrics.ndcg import discounts
from tensorflow_similarity.retrieval_metrics._base import RetrievalMetric

__all__ = ["BNDCG", "MapAtK", "PrecisionAtK", "RecallAtK"]


class RecallAtK(RetrievalMetric):
    """1 where any of the first k neighbors matches, else 0.

    The metric-learning literature's Recall@K, which is `hit_rate@k` in
    `tensorflow_similarity.evaluation`, and so in results; `recall@k` is the share of relevant
    examples found. `compat.tensorflow_similarity.RecallAtK` has the name of TensorFlow Similarity.

    Args:
        name: What results call it; `@k` is appended.
        **kwargs: `k`, `distance_threshold`, `average`, `drop_closest_lookup` of
            `RetrievalMetric`.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import RecallAtK

    metric = RecallAtK(k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [0, 0]])  # 0.5
    ```
    """

    def __init__(self, name: str = "hit_rate", **kwargs: Any) -> None:
        super().__init__(name=name, **{"canonical_name": "recall@k", **kwargs})

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        return hit_rate_at_k(Ranking(matches, matches.sum(axis=1)), self.k)


class _UpToClassSize(RetrievalMetric):
    """A metric that may look at the first R neighbors, R being the size of the class.

    Args:
        r: Class id -> number of indexed examples.
        clip_at_r: Whether to look at the first R neighbors only.
        **kwargs: See `RetrievalMetric`.

    Raises:
        ValueError: If `clip_at_r` is asked for without `r`.
    """

    def __init__(self, r: Mapping[int, int] | None, clip_at_r: bool, **kwargs: Any) -> None:
        if checks.flag(clip_at_r, "clip_at_r") and r is None:
            raise ValueError("`r` must be given with `clip_at_r`. Received: None.")
        super().__init__(**kwargs)
        self.r = r
        self.clip_at_r = clip_at_r

    @property
    def name(self) -> str:
        """The name; with `@k` unless `clip_at_r`."""
        return self._name if self.clip_at_r else super().name

    def sizes(self, labels: np.ndarray) -> np.ndarray:
        """R of each query, int64 `[queries]`; less one where it is indexed itself.

        Raises:
            ValueError: If the class of a query is missing in `r`.
        """
        known = self.r or {}
        classes, inverse = np.unique(labels, return_inverse=True)
        missing = [label for label in classes.tolist() if label not in known]
        if missing:
            raise ValueError(
                "`r` must map every class of the queries to its number of indexed examples. "
                f"Received: a mapping without {missing[:5]}."
            )
        numbers = np.array([int(known[label]) for label in classes.tolist()], np.int64)[inverse]
        return np.maximum(numbers - int(self.drop_closest_lookup), 0)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {**super().get_config(), "r": self.r, "clip_at_r": self.clip_at_r}


class PrecisionAtK(_UpToClassSize):
    """Matches among the first k neighbors, divided by k.

    With `clip_at_r`, matches among the first R divided by R, the number of indexed
    examples of the class: R-precision, if k is at least R.

    Args:
        r: Class id -> number of indexed examples; needed with `clip_at_r`.
        clip_at_r: Whether to look at the first R neighbors only, and divide by R.
            A query whose class has no example (but itself) is 0.
        name: What results call it; `@k` is appended, but for `clip_at_r`.
        **kwargs: `k`, `distance_threshold`, `average`, `drop_closest_lookup` of
            `RetrievalMetric`.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import PrecisionAtK

    metric = PrecisionAtK(k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [0, 0]])  # 0.25
    ```
    """

    def __init__(
        self,
        r: Mapping[int, int] | None = None,
        clip_at_r: bool = False,
        name: str = "precision",
        **kwargs: Any,
    ) -> None:
        super().__init__(r, clip_at_r, name=name, **{"canonical_name": "precision@k", **kwargs})

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        if not self.clip_at_r or self.r is None:
            return precision_at_k(Ranking(matches, matches.sum(axis=1)), self.k)
        sizes = self.sizes(query_labels)
        return ratio(_within(matches, sizes).sum(axis=1), sizes)


class MapAtK(_UpToClassSize):
    """Sum of precision@j over the matching ranks j <= k, divided by R.

    R is the number of indexed examples of the query's class. Where k < R even a
    perfect ranking is below 1: `map@k` of `tensorflow_similarity.evaluation`
    divides by min(k, R). With `clip_at_r` only the first R ranks count: MAP@R, if
    k is at least R.

    Args:
        r: Class id -> number of indexed examples. None: `k` stands in for R.
        clip_at_r: Whether to look at the first R neighbors only.
        name: What results call it; `@k` is appended, but for `clip_at_r`.
        **kwargs: `k`, `distance_threshold`, `drop_closest_lookup` of
            `RetrievalMetric`. `average` is `"micro"` always.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import MapAtK

    metric = MapAtK(r={0: 2, 1: 1}, k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [1, 0]])  # 0.625
    ```
    """

    def __init__(
        self,
        r: Mapping[int, int] | None = None,
        clip_at_r: bool = False,
        name: str = "map",
        **kwargs: Any,
    ) -> None:
        if kwargs.get("average") == "macro":
            raise ValueError("`average` must be 'micro' for MapAtK. Received: 'macro'.")
        super().__init__(r, clip_at_r, name=name, **{"canonical_name": "map@k", **kwargs})

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        if self.r is None:
            return sum_of_precisions(matches) / self.k
        sizes = self.sizes(query_labels)
        if self.clip_at_r:
            matches = _within(matches, sizes)
        return ratio(sum_of_precisions(matches), sizes)


class BNDCG(RetrievalMetric):
    """Binary normalized discounted cumulative gain of the first k neighbors.

    Sum of 1 / log2(j + 1) over the matching ranks j, divided by what the same
    number of matches would give at the first ranks. It judges the order of what
    was found only; `ndcg@k` of `tensorflow_similarity.evaluation` compares with
    the best that the gallery offers. A query without any match is 0.

    Args:
        name: What results call it; `@k` is appended.
        k: Number of neighbors looked at.
        distance_threshold: Neighbours farther than this are no match.
        **kwargs: `average`, `drop_closest_lookup` of `RetrievalMetric`.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import BNDCG

    metric = BNDCG(k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[1, 0], [1, 0]])  # 0.815
    ```
    """

    def __init__(
        self, name: str = "ndcg", k: int = 5, distance_threshold: float = math.inf, **kwargs: Any
    ) -> None:
        arguments = {"canonical_name": "ndcg@k", **kwargs}
        super().__init__(name=name, k=k, distance_threshold=distance_threshold, **arguments)

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        weights = discounts(matches.shape[1])
        ideal = np.concatenate([[0.0], np.cumsum(weights)])
        return ratio(matches @ weights, ideal[matches.sum(axis=1)])


def _within(matches: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The matches among the first R neighbors of each query, bool `[queries, k]`."""
    return matches & (np.arange(matches.shape[1]) < sizes[:, None])
