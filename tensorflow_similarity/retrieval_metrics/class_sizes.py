"""What PrecisionAtK and MapAtK share: the number of indexed examples of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tensorflow_similarity.retrieval_metrics.retrieval_metric import RetrievalMetric

__all__ = ["MetricWithClassSizes", "within"]


class MetricWithClassSizes(RetrievalMetric):
    """A metric that may look at the first R neighbours, R being the size of the class.

    Args:
        r: Class id -> number of indexed examples.
        clip_at_r: Whether to look at the first R neighbours only.
        **kwargs: See `RetrievalMetric`.

    Raises:
        ValueError: If `clip_at_r` is asked for without `r`.
    """

    def __init__(self, r: Mapping[int, int] | None, clip_at_r: bool, **kwargs: Any) -> None:
        if clip_at_r and r is None:
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


def within(matches: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The matches among the first R neighbours of each query, bool `[queries, k]`."""
    return matches & (np.arange(matches.shape[1]) < sizes[:, None])
