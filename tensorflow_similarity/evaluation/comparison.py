"""Tests whether one model is better than another on the same queries."""

from __future__ import annotations

import dataclasses

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.evaluation.bootstrap import ClassSums, class_codes, interval
from tensorflow_similarity.evaluation.result import EvaluationResult

__all__ = ["Comparison", "compare"]

# With up to this many classes, all sign flips are enumerated.
_ENUMERABLE = 12
_PERMUTATIONS = 10_000
_CHUNK = 1000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The differences between two evaluations, per metric.

    Attributes:
        difference: Metric -> value of the first minus value of the second.
        intervals: Metric -> ends of the confidence interval of the difference.
        p_values: Metric -> two-sided p-value of no difference.
        confidence: Level of the intervals.
        queries: Number of queries compared.
        classes: Number of classes among them.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import compare, evaluate

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 5)
    noise = rng.normal(size=(100, 20))
    good, bad = (evaluate(np.eye(20)[labels] + s * noise, labels) for s in (0.2, 0.4))
    comparison = compare(good, bad)
    comparison.p_values["map@r"] < 0.01  # True
    print(comparison)
    ```
    """

    difference: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    p_values: dict[str, float]
    confidence: float
    queries: int
    classes: int

    def __str__(self) -> str:
        level = f"{100 * self.confidence:g}% interval"
        rows = []
        for name, difference in self.difference.items():
            low, high = self.intervals[name]
            p = self.p_values[name]
            rows.append([name, f"{difference:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{p:.4f}"])
        table = text_table(["metric", "difference", level, "p-value"], rows)
        return f"{table}\n{self.queries} queries of {self.classes} classes"


def compare(
    first: EvaluationResult,
    second: EvaluationResult,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compares two evaluations of the same queries, query by query.

    The interval (a bootstrap of classes) and the p-value (a permutation test that swaps
    the two models class by class) both account for the dependence between queries of a
    class. With up to 12 classes all swaps are tried. The smallest possible p-value is
    2 ** (1 - classes), so few classes cannot give a small one.

    Args:
        first: One evaluation.
        second: The other, of the same queries in the same order.
        confidence: Level of the intervals, between 0 and 1.
        seed: Seed of bootstrap and permutations.

    Returns:
        A `Comparison` of the metrics in both.

    Raises:
        ValueError: If the queries or the skipped ones differ, no metric is in both,
            or there are fewer than two classes.

    Example:

    ```python
    from tensorflow_similarity.evaluation import compare, evaluate

    labels = [0, 0, 1, 1, 2, 2]
    raw = evaluate([[0.0], [2.0], [1.0], [3.0], [5.0], [6.0]], labels, distance="l2")
    trained = evaluate([[0.0], [0.1], [1.0], [1.1], [5.0], [5.1]], labels, distance="l2")
    print(compare(trained, raw))
    ```
    """
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, EvaluationResult):
            raise TypeError(f"`{name}` must be what `evaluate` returned. Received: {given!r}.")
    confidence = checks.fraction(confidence, "confidence")
    rng = checks.rng(seed)
    if not np.array_equal(first.labels, second.labels):
        raise ValueError(
            "`first` and `second` must evaluate the same queries in the same order. Received: "
            f"{len(first.labels)} and {len(second.labels)} queries of different labels."
        )
    names = [name for name in first if name in second]
    if not names:
        raise ValueError(
            "`first` and `second` must have a metric in common. Received: "
            f"{list(first)} and {list(second)}."
        )
    differences = np.stack([first.per_query[n] - second.per_query[n] for n in names])
    counted = ~np.isnan(first.per_query[names[0]])
    if not np.array_equal(counted, ~np.isnan(second.per_query[names[0]])):
        raise ValueError(
            "`first` and `second` must leave out the same queries. Received: "
            f"{first.skipped} and {second.skipped} left out: their galleries differ."
        )
    ids, classes = class_codes(first.labels[counted])
    if len(ids) < 2:
        raise ValueError(
            f"There must be at least two classes to compare over. Received: {len(ids)}."
        )
    sums = ClassSums(differences[:, counted], classes, len(ids))
    ends = interval(sums.resample(rng)[0], confidence)
    total = differences[:, counted].mean(axis=1)
    p_values = _sign_flips(sums.sums, rng)
    return Comparison(
        difference=dict(zip(names, total.tolist(), strict=True)),
        intervals={n: (float(ends[0, i]), float(ends[1, i])) for i, n in enumerate(names)},
        p_values=dict(zip(names, p_values.tolist(), strict=True)),
        confidence=confidence,
        queries=int(counted.sum()),
        classes=len(ids),
    )


def _sign_flips(sums: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two-sided p-value of class sums of differences `[classes, metrics]` being around 0."""
    classes = len(sums)
    # Sums that are equal up to rounding count as equally extreme.
    observed = np.abs(sums.sum(axis=0)) * (1 - 1e-9) - 1e-12
    if classes <= _ENUMERABLE:
        flips = 1.0 - 2.0 * ((np.arange(2**classes)[:, None] >> np.arange(classes)) & 1)
        return (np.abs(flips @ sums) >= observed).mean(axis=0)
    extreme = np.ones(sums.shape[1])  # The observed one is one of the permutations.
    for _ in range(_PERMUTATIONS // _CHUNK):
        flips = rng.integers(2, size=(_CHUNK, classes)) * 2.0 - 1.0
        extreme += (np.abs(flips @ sums) >= observed).sum(axis=0)
    return extreme / (_PERMUTATIONS + 1)
