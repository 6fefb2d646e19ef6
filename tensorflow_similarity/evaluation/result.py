"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.evaluation.bootstrap import ClassSums, class_codes, interval

__all__ = ["EvaluationResult"]

_AVERAGES = ("micro", "macro")


class EvaluationResult(Mapping[str, float]):
    """Metric values with confidence intervals and per-query values.

    A mapping from metric name to value, the mean over queries. It prints as a table of
    values and confidence intervals.

    Queries without a relevant key in the gallery (their class has no other member) are
    excluded from all means; `skipped` counts them.

    The intervals are percentiles of 2,000 bootstrap resamples of whole classes. They tell
    how much a value may vary with other classes from the same source. With few classes
    (say 10) they are rough and somewhat too narrow; with a single class both ends are NaN.

    Attributes:
        micro: Metric -> mean over queries, the same as the mapping itself.
        macro: Metric -> mean over classes of the mean over the class's queries.
        queries: Number of queries in the means.
        skipped: Number of queries left out.
        unknown: Number of queries left out because their class is unknown.
        ignored_pairs: Number of pairs of query and key that `ignore` left out.
        classes: Number of classes among the queries in the means.
        confidence: Level of `interval`.
        per_query: Metric -> float64 `[queries]`, in the given order; NaN if
            the query was left out.
        labels: The labels of the queries, in that order: ids (−1 if unknown), or names
            (None if unknown).

    Example:

    ```python
    from tensorflow_similarity.evaluation import evaluate

    embeddings, labels = [[0.0], [0.1], [1.0], [0.4], [5.0]], [0, 0, 1, 1, 2]
    result = evaluate(embeddings, labels, distance="euclidean", metrics=["precision@1"])
    result["precision@1"]  # 0.75
    result.per_class["precision@1"]  # {0: 1.0, 1: 0.5}
    result.interval("precision@1")  # (0.5, 1.0)
    result.skipped  # 1: class 2 has no other member
    print(result)
    ```
    """

    def __init__(
        self,
        values: dict[str, np.ndarray],
        labels: np.ndarray,
        confidence: float = 0.95,
        seed: int = 0,
        unknown: np.ndarray | None = None,
        ignored_pairs: int = 0,
    ) -> None:
        self.per_query = values
        self.labels = labels
        self.confidence = confidence
        self._seed = seed
        counted = ~np.isnan(next(iter(values.values())))
        self.queries = int(counted.sum())
        self.skipped = len(labels) - self.queries
        self.unknown = 0 if unknown is None else int(unknown.sum())
        self.ignored_pairs = ignored_pairs
        self._class_ids, classes = class_codes(labels[counted])
        self.classes = len(self._class_ids)
        self._index = {name: i for i, name in enumerate(values)}
        matrix = np.stack([row[counted] for row in values.values()])
        self._sums = ClassSums(matrix, classes, self.classes)
        nothing = {name: float("nan") for name in values}
        self.micro: dict[str, float] = nothing
        self.macro: dict[str, float] = dict(nothing)
        if self.queries:
            self.micro = dict(zip(values, matrix.mean(axis=1).tolist(), strict=True))
            self.macro = dict(zip(values, self._sums.means.mean(axis=0).tolist(), strict=True))

    def __getitem__(self, name: str) -> float:
        self._check(name)
        return self.micro[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    @cached_property
    def per_class(self) -> dict[str, dict[Any, float]]:
        """Metric -> {class id: mean over the class's queries}."""
        ids = self._class_ids.tolist()
        keys = [tuple(key) if isinstance(key, list) else key for key in ids]
        means = self._sums.means.T.tolist()
        return {
            name: dict(zip(keys, row, strict=True))
            for name, row in zip(self._index, means, strict=True)
        }

    def interval(self, name: str, average: str = "micro") -> tuple[float, float]:
        """Confidence interval of a metric, from a bootstrap of classes.

        Args:
            name: The metric.
            average: `"micro"` (mean over queries) or `"macro"` (over classes).

        Returns:
            Lower and upper end, at the level `confidence`.
        """
        self._check(name)
        checks.choice(average, "average", _AVERAGES)
        low, high = self._intervals[_AVERAGES.index(average), :, self._index[name]]
        return float(low), float(high)

    @cached_property
    def _intervals(self) -> np.ndarray:
        """`[average, end, metric]`."""
        if self.classes < 2:
            return np.full((2, 2, len(self)), np.nan)
        resampled = self._sums.resample(np.random.default_rng(self._seed))
        return np.moveaxis(interval(np.moveaxis(resampled, 1, 0), self.confidence), 0, 1)

    def to_dict(self) -> dict[str, Any]:
        """Everything except `per_query` and `labels`, as plain objects for JSON."""
        return {
            "metrics": dict(self.micro),
            "macro": dict(self.macro),
            "intervals": {name: list(self.interval(name)) for name in self},
            "macro_intervals": {name: list(self.interval(name, "macro")) for name in self},
            "confidence": self.confidence,
            "queries": self.queries,
            "skipped": self.skipped,
            "unknown": self.unknown,
            "ignored_pairs": self.ignored_pairs,
            "classes": self.classes,
        }

    def __str__(self) -> str:
        level = f"{100 * self.confidence:g}% interval"
        rows = []
        for name in self:
            low, high = self.interval(name)
            rows.append([name, self.micro[name], f"{low:.4f} to {high:.4f}", self.macro[name]])
        parts = []
        if self.skipped - self.unknown:
            parts.append(f", {self.skipped - self.unknown} left out (nothing relevant)")
        if self.unknown:
            parts.append(f", {self.unknown} left out (class unknown)")
        if self.ignored_pairs:
            parts.append(f"; {self.ignored_pairs:,} pairs ignored")
        left_out = "".join(parts)
        table = text_table(["metric", "value", level, "macro"], rows)
        return f"{table}\n{self.queries} queries of {self.classes} classes{left_out}"

    def __repr__(self) -> str:
        values = ", ".join(f"{name}: {value:.4f}" for name, value in self.items())
        return f"EvaluationResult({{{values}}}, queries={self.queries}, skipped={self.skipped})"

    def _check(self, name: str) -> None:
        if name not in self._index:
            raise KeyError(f"No metric {name!r} was evaluated, only {list(self._index)}.")
