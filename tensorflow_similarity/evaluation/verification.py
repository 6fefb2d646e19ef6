"""Verification: deciding by a distance threshold whether two examples are of one class."""

from __future__ import annotations

import dataclasses

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances, targets
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.evaluation.pair_metrics import equal_error_rate, roc_auc, tar_at_far
from tensorflow_similarity.evaluation.pairs import labelled_pairs, paired_distances
from tensorflow_similarity.targets import TargetsLike

__all__ = ["VerificationResult", "verify"]


@dataclasses.dataclass(frozen=True)
class VerificationResult:
    """The result of `verify`.

    Attributes:
        roc_auc: Area under the ROC curve.
        eer: Equal error rate.
        eer_distance: The threshold of the equal error rate.
        tar_at_far: False accept rate -> true accept rate.
        distance_at_far: False accept rate -> threshold.
        same_pairs: Number of same-class pairs evaluated.
        different_pairs: Number of different-class pairs evaluated.
        exact: Whether these are all pairs.

    Example:

    ```python
    from tensorflow_similarity.evaluation import verify

    result = verify([[0.0], [0.1], [1.0], [1.1]], [0, 0, 1, 1], distance="euclidean")
    result.roc_auc  # 1.0
    print(result)
    ```
    """

    roc_auc: float
    eer: float
    eer_distance: float
    tar_at_far: dict[float, float]
    distance_at_far: dict[float, float]
    same_pairs: int
    different_pairs: int
    exact: bool

    def __str__(self) -> str:
        rows: list[list[object]] = [
            ["roc_auc", self.roc_auc, None],
            ["eer", self.eer, self.eer_distance],
        ]
        rows += [
            [f"tar@far={far:g}", tar, self.distance_at_far[far]]
            for far, tar in self.tar_at_far.items()
        ]
        which = "all" if self.exact else "a sample of"
        table = text_table(["metric", "value", "at distance"], rows)
        return (
            f"{table}\n{which} pairs: {self.same_pairs} of one class, {self.different_pairs} of two"
        )


def verify(
    embeddings: ArrayLike,
    labels: TargetsLike,
    distance: DistanceLike = "cosine",
    far: tuple[float, ...] = (0.1, 0.01, 0.001),
    max_pairs: int = 2_000_000,
    seed: int = 0,
    ignore_class: object = None,
) -> VerificationResult:
    """Evaluates how well a distance threshold tells whether two examples are of one class.

    Args:
        embeddings: `[n, dim]`.
        labels: Class ids or names `[n]`; None where the class is unknown: such
            examples are left out.
        distance: A name, an object or a function: see `distances.get`. An
            asymmetric one is measured from the earlier to the later example.
        far: False accept rates at which to report the true accept rate.
        max_pairs: If there are more pairs of either kind than this, that many are drawn at
            random with replacement.
        seed: Seed of the draw.
        ignore_class: A class id or name that stands for an unknown class.

    Returns:
        A `VerificationResult`.

    Raises:
        TypeError: If labels are neither ids nor names.
        ValueError: If there is no pair of one of the kinds, or shapes do not match.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import verify

    labels = np.repeat(np.arange(10), 20)
    x = np.eye(10)[labels] + 0.3 * np.random.default_rng(0).normal(size=(200, 10))
    print(verify(x, labels))
    ```
    """
    resolved = distances.get(distance)
    x = checks.embeddings(embeddings)
    classes = targets.get(labels, "labels", len(x), ignore_class)
    x, ids = x[classes.known], classes.ids[classes.known]
    most = checks.count(max_pairs, "max_pairs")
    limits, rng = checks.fractions(far, "far"), checks.rng(seed)
    n = len(x)
    a, b, same = labelled_pairs(ids, most, rng)
    values = paired_distances(resolved, x, a, b)
    rate, at = equal_error_rate(values, same)
    rates = {limit: tar_at_far(values, same, limit) for limit in limits}
    return VerificationResult(
        roc_auc=roc_auc(values, same),
        eer=rate,
        eer_distance=at,
        tar_at_far={limit: tar for limit, (tar, _) in rates.items()},
        distance_at_far={limit: threshold for limit, (_, threshold) in rates.items()},
        same_pairs=int(same.sum()),
        different_pairs=int((~same).sum()),
        exact=n * (n - 1) // 2 <= most,
    )
