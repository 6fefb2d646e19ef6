"""Rankings, and retrieval metrics as functions of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

__all__ = ["RankMetric", "Ranking"]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The nearest keys of queries, nearest first, down to a given depth.

    Attributes:
        relevance: bool `[queries, depth]`: whether the key at that rank is
            relevant to the query (has its class). Ranks below the end of the
            gallery are False.
        relevant: int64 `[queries]`: how many keys of the whole gallery are
            relevant: the R of the formulas. At least 1.
        first: int64 `[queries]`: the 1-based rank of the nearest relevant key,
            which may be beyond `depth`; None if no metric needs it.
        gains: float64 `[queries, depth]`: the grade of the key at that rank, if
            relevance is graded and a metric uses it; otherwise None.
        best_gains: float64 `[queries, depth]`: the largest gains of the whole gallery,
            in descending order; None likewise.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import Ranking, metrics

    ranking = Ranking(relevance=np.array([[True, False, True]]), relevant=np.array([2]))
    metrics.map_at_r(ranking)  # [0.5]
    ```
    """

    relevance: np.ndarray
    relevant: np.ndarray
    first: np.ndarray | None = None
    gains: np.ndarray | None = None
    best_gains: np.ndarray | None = None

    def top(self, k: int) -> np.ndarray:
        """The first `k` ranks, or all if there are fewer."""
        return self.relevance[:, :k]


@dataclasses.dataclass(frozen=True)
class RankMetric:
    """A retrieval metric: a value per query from its `Ranking`.

    Attributes:
        name: Its name in results.
        values: Maps a `Ranking` to float64 values `[queries]`.
        k: Number of ranks it uses, if that is fixed.
        looks_at_r: Whether it uses the first R ranks, where R is the number of relevant
            keys of the query.
        looks_at_relevant: Whether it needs `Ranking.relevant`.
        needs_first: Whether it needs `Ranking.first`.
        looks_at_gains: Whether it uses `Ranking.gains` if relevance is graded.

    Example:

    ```python
    from tensorflow_similarity.evaluation import RankMetric, evaluate

    worst = RankMetric("miss_rate@5", lambda ranking: 1.0 - ranking.top(5).any(axis=1), k=5)
    evaluate([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1], distance="l2", metrics=[worst])
    ```
    """

    name: str
    values: Callable[[Ranking], np.ndarray]
    k: int | None = None
    looks_at_r: bool = False
    looks_at_relevant: bool = True
    needs_first: bool = False
    looks_at_gains: bool = False

    def depth(self, most_relevant: int) -> int:
        """Number of ranks needed for queries with at most `most_relevant` relevant keys."""
        return max(self.k or 0, most_relevant if self.looks_at_r else 0)
