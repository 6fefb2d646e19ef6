"""Retrieval metrics: one definition per name.

Let R be the number of keys in the gallery that are relevant to a query: those of its class,
without the query itself. Each metric has a value per query; results are means over the queries
with R > 0.

| name | value of a query |
|---|---|
| `hit_rate@k` | 1 if one of the first k is relevant, else 0 |
| `recall@k` | relevant among the first k / R |
| `precision@k` | relevant among the first k / k |
| `r_precision` | relevant among the first R / R |
| `map@r` | sum of precision@i over the relevant ranks i <= R / R |
| `map@k` | sum of precision@i over the relevant ranks i <= k / min(k, R) |
| `mrr` | 1 / rank of the first relevant; `mrr@k`: 0 if that is beyond k |
| `ndcg@k` | sum of 1 / log2(i + 1) over the relevant ranks i <= k / the best possible |

(`k` stands for a number: `precision@1`, `map@10`.)

With graded relevance, ndcg@k uses the grade in place of the 1; for the other metrics, a key is
relevant if its grade is above 0.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from tensorflow_similarity.evaluation.metrics.average_precision import map_at_k, map_at_r
from tensorflow_similarity.evaluation.metrics.base import Ranking, RankMetric
from tensorflow_similarity.evaluation.metrics.hit_rate import hit_rate_at_k
from tensorflow_similarity.evaluation.metrics.ndcg import ndcg_at_k
from tensorflow_similarity.evaluation.metrics.precision import precision_at_k, r_precision
from tensorflow_similarity.evaluation.metrics.recall import recall_at_k
from tensorflow_similarity.evaluation.metrics.reciprocal_rank import (
    reciprocal_rank,
    reciprocal_rank_at_k,
)

__all__ = [
    "DEFAULT_METRICS",
    "RankMetric",
    "Ranking",
    "get",
    "get_all",
    "hit_rate_at_k",
    "map_at_k",
    "map_at_r",
    "names",
    "ndcg_at_k",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "reciprocal_rank",
    "reciprocal_rank_at_k",
]

DEFAULT_METRICS = ("precision@1", "hit_rate@4", "r_precision", "map@r")

_AT_K = {
    "hit_rate": hit_rate_at_k,
    "recall": recall_at_k,
    "precision": precision_at_k,
    "map": map_at_k,
    "mrr": reciprocal_rank_at_k,
    "ndcg": ndcg_at_k,
}
_WITHOUT_RELEVANT = {"hit_rate", "precision", "mrr"}
_WITHOUT_K = {
    "r_precision": RankMetric("r_precision", r_precision, looks_at_r=True),
    "map@r": RankMetric("map@r", map_at_r, looks_at_r=True),
    "mrr": RankMetric("mrr", reciprocal_rank, needs_first=True),
}


def names() -> list[str]:
    """All metric names; `k` stands for a positive number."""
    return sorted([f"{name}@k" for name in _AT_K] + list(_WITHOUT_K))


def get(metric: object) -> RankMetric:
    """Resolves a retrieval metric.

    Args:
        metric: A name, such as `"precision@1"` or `"map@r"` (see `names()`), or
            a `RankMetric`.

    Raises:
        ValueError: If there is no metric of that name.
        TypeError: If `metric` is neither.

    Example:

    ```python
    from tensorflow_similarity.evaluation import metrics

    metrics.get("precision@5").k  # 5
    ```
    """
    if isinstance(metric, RankMetric):
        return metric
    if not isinstance(metric, str):
        raise TypeError(
            f"A metric must be one of {names()} (with a number for k) or a RankMetric. "
            f"Received: {metric!r}."
        )
    key = metric.lower().strip()
    if key in _WITHOUT_K:
        return _WITHOUT_K[key]
    match = re.fullmatch(r"([a-z_]+)@([0-9]+)", key)
    if match is None or match[1] not in _AT_K or int(match[2]) < 1:
        raise ValueError(
            f"Unknown metric. Expected one of {names()}, with a positive number for k, as in "
            f"'precision@1'. Received: {metric!r}."
        )
    k = int(match[2])
    return RankMetric(
        f"{match[1]}@{k}",
        functools.partial(_AT_K[match[1]], k=k),
        k=k,
        looks_at_relevant=match[1] not in _WITHOUT_RELEVANT,
        looks_at_gains=match[1] == "ndcg",
    )


def get_all(metrics: object = None, argument: str = "metrics") -> list[RankMetric]:
    """Resolves several metrics: None for the defaults, a name, or an iterable.

    Args:
        metrics: The metrics.
        argument: Name of the argument, for errors.

    Raises:
        ValueError: If there are none, or two share a name.
    """
    if metrics is None:
        metrics = DEFAULT_METRICS
    if isinstance(metrics, (str, RankMetric)):
        metrics = [metrics]
    if not isinstance(metrics, Iterable):
        raise TypeError(f"`{argument}` must be names or RankMetric objects. Received: {metrics!r}.")
    try:
        resolved = [get(metric) for metric in metrics]
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{argument}`: {error}") from None
    given = [metric.name for metric in resolved]
    if not given or len(set(given)) != len(given):
        raise ValueError(
            f"`{argument}` must be one or more, of different names. Received: {given}."
        )
    return resolved
