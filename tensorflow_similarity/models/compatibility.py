"""Measures whether queries of a new model can search an older model's index."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tensorflow_similarity._text_table import text_table
from tensorflow_similarity.distances import Distance
from tensorflow_similarity.evaluation import Comparison, EvaluationResult, compare, evaluate
from tensorflow_similarity.models.assessment import say_without_positives
from tensorflow_similarity.models.baselines import embed_all
from tensorflow_similarity.models.batches import Batches
from tensorflow_similarity.models.embedding import Embedder

__all__ = ["CompatibilityResult", "evaluate_compatibility"]

OLD, CROSS, NEW = "old on old", "new on old", "new on new"


@dataclasses.dataclass(frozen=True)
class CompatibilityResult:
    """A new model's queries on an older model's gallery, beside what each model does alone.

    Attributes:
        results: `"old on old"`, `"new on old"` and `"new on new"` (whose queries on whose
            gallery) -> `EvaluationResult` of the same queries.
        comparison: The second less the first, query by query, with intervals and p-values.
    """

    results: dict[str, EvaluationResult]
    comparison: Comparison

    def __getitem__(self, name: str) -> EvaluationResult:
        return self.results[name]

    @property
    def holds(self) -> dict[str, bool]:
        """Metric -> whether new queries on the older gallery beat old ones there.

        This is the criterion of Shen et al. Whether it is beyond chance, `comparison.intervals`
        say.
        """
        return {name: gain > 0 for name, gain in self.comparison.difference.items()}

    @property
    def update_gain(self) -> dict[str, float]:
        """Metric -> how much of the new model's advantage comes without embedding records again.

        `(new on old - old on old) / (new on new - old on old)`; NaN where the new model has no
        advantage.
        """
        gains = {}
        for name in self.comparison.difference:
            old, cross, new = (self.results[key][name] for key in (OLD, CROSS, NEW))
            gains[name] = (cross - old) / (new - old) if new > old else float("nan")
        return gains

    def __str__(self) -> str:
        level = f"{100 * self.comparison.confidence:g}% interval of the gain"
        rows: list[list[object]] = []
        for name, holds in self.holds.items():
            low, high = self.comparison.intervals[name]
            beyond = low > 0 or high < 0
            verdict = ("holds" if holds else "fails") + ("" if beyond else ", within chance")
            values = [self.results[key][name] for key in (OLD, CROSS, NEW)]
            rows.append([name, *values, f"{low:+.4f} to {high:+.4f}", verdict])
        table = text_table(["metric", OLD, CROSS, NEW, level, "criterion"], rows)
        return (
            f"{table}\n{self.comparison.queries} queries of {self.comparison.classes} classes; "
            f"criterion: {CROSS} is better than {OLD}"
        )


def evaluate_compatibility(
    old: Embedder,
    new: Embedder,
    distance: Distance,
    queries: Batches,
    gallery: Batches | None,
    **options: Any,
) -> CompatibilityResult:
    """Ranks the same queries three times.

    Args:
        old: Embeds with the older model.
        new: Embeds with the new one.
        distance: The distance of the older model's index.
        queries: Examples with labels.
        gallery: Examples with labels; None: the queries, leave-one-out.
        **options: `metrics`, `confidence`, `seed` and `ignore_class` of `evaluate`.

    Raises:
        ValueError: If embeddings differ in size, labels are missing, or nothing is relevant to
            any query.
    """
    embedders = {"old": old, "new": new}
    found, labels = embed_all(queries, embedders, "x")
    sizes = {name: rows.shape[1] for name, rows in found.items()}
    if sizes["old"] != sizes["new"]:
        raise ValueError(
            "`old` must have embeddings of the size of this model's, for one index is to hold "
            f"both. Received: {sizes['old']} and {sizes['new']}."
        )
    own: np.ndarray | None
    if gallery is None:
        searched, searched_labels = found, labels
        own = np.arange(len(found["old"]))  # Each query is left out of its own ranking.
    else:
        searched, searched_labels = embed_all(gallery, embedders, "gallery")
        own = None
    results = {
        name: evaluate(
            found[of],
            labels,
            searched[on],
            searched_labels,
            distance=distance,
            query_positions=own,
            **options,
        )
        for name, of, on in ((OLD, "old", "old"), (CROSS, "new", "old"), (NEW, "new", "new"))
    }
    say_without_positives(results[OLD], "examples of `x`", "nothing that is searched is relevant")
    comparison = compare(results[CROSS], results[OLD], options["confidence"], options["seed"])
    return CompatibilityResult(results, comparison)
