"""Base of the retrieval metrics of TensorFlow Similarity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.targets import TargetsLike

__all__ = ["RetrievalMetric"]

_AVERAGES = ("micro", "macro")


class RetrievalMetric:
    """A value from the neighbors of queries. A subclass writes `values`.

    `tensorflow_similarity.evaluation.evaluate` is the newer way: it needs no
    lookup, and gives intervals. These keep what the original's users know.

    Args:
        name: What results call it; `@k` is appended.
        canonical_name: The metric's own name.
        k: Number of neighbors looked at.
        distance_threshold: Neighbors farther than this are no match.
        average: `"micro"`, the mean over queries, or `"macro"`, the mean over
            classes of the mean over the class's queries.
        drop_closest_lookup: Whether to leave the nearest neighbor out, for
            queries that are indexed themselves. k neighbors are looked at after
            it, so k + 1 must be given.

    Example:

    ```python
    from tensorflow_similarity.retrieval_metrics import RetrievalMetric

    class FirstHalf(RetrievalMetric):
        def values(self, matches, query_labels):
            return matches[:, : self.k // 2].any(axis=1)

    metric = FirstHalf(name="first_half", k=2)
    metric.compute(query_labels=[0, 1], lookup_labels=[[0, 1], [0, 1]])  # 0.5
    ```
    """

    def __init__(
        self,
        name: str = "",
        canonical_name: str = "",
        k: int = 5,
        distance_threshold: float = math.inf,
        average: str = "micro",
        drop_closest_lookup: bool = False,
    ) -> None:
        checks.choice(average, "average", _AVERAGES)
        self._name = name
        self.canonical_name = canonical_name
        self.k = checks.count(k, "k")
        self.distance_threshold = distance_threshold
        self.average = average
        self.drop_closest_lookup = checks.flag(drop_closest_lookup, "drop_closest_lookup")

    @property
    def name(self) -> str:
        """The name with `@k`, and with the distance threshold where there is one."""
        if math.isfinite(self.distance_threshold):
            return f"{self._name}@{self.k} : distance_threshold@{self.distance_threshold}"
        return f"{self._name}@{self.k}"

    def values(self, matches: np.ndarray, query_labels: np.ndarray) -> np.ndarray:
        """The metric of each query.

        Args:
            matches: bool `[queries, k]`: whether that neighbor counts as a match.
            query_labels: Class ids, int64 `[queries]`, or names.

        Returns:
            `[queries]`.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `values`.")

    def compute(
        self,
        *,
        query_labels: TargetsLike,
        match_mask: ArrayLike | None = None,
        lookup_labels: ArrayLike | None = None,
        lookup_distances: ArrayLike | None = None,
    ) -> float:
        """The metric, averaged.

        Args:
            query_labels: Those of the queries `[queries]`: class ids or names, or several
                labels as `Targets`. Queries of unknown class (None) are left out.
            match_mask: bool `[queries, neighbors]`: whether the neighbor has the
                query's label. None: computed from `lookup_labels`.
            lookup_labels: Class ids or names of the neighbors, nearest first; −1 or None
                where there is none; needed without `match_mask`.
            lookup_distances: Distances of the neighbors; needed with
                `distance_threshold`.

        Raises:
            ValueError: If something needed is missing, or shapes do not fit.
        """
        classes = targets.get(query_labels, "query_labels", kinds=("classes", "multi_hot"))
        if not len(classes):
            raise ValueError("`query_labels` must not be empty. Received: length 0.")
        if match_mask is None:
            if lookup_labels is None:
                raise ValueError("Pass `match_mask` or `lookup_labels`. Received: neither.")
            match_mask = targets.lookup_labels(lookup_labels, classes, "lookup_labels")[0]
        matches = checks.host_array(match_mask, "match_mask")
        if matches.dtype.kind not in "biuf":
            raise TypeError(
                "`match_mask` must be bool [queries, neighbors]. Received: array of shape "
                f"{matches.shape} and dtype {matches.dtype}."
            )
        matches = matches.astype(bool)
        first = int(self.drop_closest_lookup)
        needed = self.k + first
        if matches.ndim != 2 or matches.shape[0] != len(classes) or matches.shape[1] < needed:
            raise ValueError(
                f"Neighbors must have shape [{len(classes)} queries, at least {needed}]. "
                f"Received: {matches.shape}. Look up k={needed}."
            )
        if lookup_distances is not None:
            distances = checks.numbers(lookup_distances, "lookup_distances")
            if distances.shape != matches.shape:
                raise ValueError(
                    "`lookup_distances` must have the shape of the neighbors, "
                    f"{matches.shape}. Received: shape {distances.shape}."
                )
            matches = matches & (distances <= self.distance_threshold)
        elif math.isfinite(self.distance_threshold):
            raise ValueError(
                "`lookup_distances` must be given with `distance_threshold`. Received: None, with "
                f"distance_threshold={self.distance_threshold}."
            )
        known = np.flatnonzero(classes.known)
        if not len(known):
            return math.nan
        ids = targets.shown_labels(classes.take(known))
        values = np.asarray(self.values(matches[known, first:needed], ids), np.float64)
        if self.average == "micro":
            return float(values.mean())
        axis = None if ids.ndim == 1 else 0
        _, places = np.unique(ids, axis=axis, return_inverse=True)
        places = places.reshape(-1)
        return float((np.bincount(places, weights=values) / np.bincount(places)).mean())

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {
            "name": self._name,
            "canonical_name": self.canonical_name,
            "k": self.k,
            "distance_threshold": float(self.distance_threshold),
            "average": self.average,
            "drop_closest_lookup": self.drop_closest_lookup,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RetrievalMetric:
        """Makes a metric from its config."""
        return cls(**config)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, average={self.average!r})"
