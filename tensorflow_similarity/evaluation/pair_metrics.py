"""Verification metrics: telling same-class from different-class pairs by a threshold."""

from __future__ import annotations

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import ArrayLike

__all__ = ["equal_error_rate", "roc_auc", "tar_at_far"]


def _sorted_sides(values: ArrayLike, same: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distances of same-class pairs, and of the others."""
    array = checks.numbers(values, "distances")
    mask = checks.host_array(same, "same")
    if array.ndim != 1 or mask.shape != array.shape or mask.dtype != bool:
        raise ValueError(
            "`distances` must be numbers [pairs] and `same` bool [pairs]. Received: shapes "
            f"{array.shape} and {mask.shape}, `same` of dtype {mask.dtype}."
        )
    if np.isnan(array).any():
        raise ValueError("`distances` must not be NaN.")
    if mask.all() or not mask.any():
        raise ValueError(
            "There must be pairs of the same class and pairs of different ones. Received: "
            f"{int(mask.sum())} of {len(mask)} of the same class."
        )
    return np.sort(array[mask]), np.sort(array[~mask])


def roc_auc(distances: ArrayLike, same: ArrayLike) -> float:
    """Area under the ROC curve: the probability that a same-class pair is nearer than another.

    Ties count half.

    Args:
        distances: `[pairs]`.
        same: bool `[pairs]`, whether the pair is of one class.

    Example:

    ```python
    from tensorflow_similarity.evaluation import roc_auc

    roc_auc([0.1, 0.2, 0.3, 0.4], [True, False, True, False])  # 0.75
    ```
    """
    positive, negative = _sorted_sides(distances, same)
    nearer = np.searchsorted(negative, positive, side="right")
    tied = nearer - np.searchsorted(negative, positive, side="left")
    wins = len(negative) - nearer + tied / 2
    return float(wins.mean() / len(negative))


def tar_at_far(distances: ArrayLike, same: ArrayLike, far: float) -> tuple[float, float]:
    """True accept rate at a bounded false accept rate.

    Args:
        distances: `[pairs]`.
        same: bool `[pairs]`, whether the pair is of one class.
        far: The largest accepted fraction of different-class pairs.

    Returns:
        The fraction of same-class pairs accepted, and the threshold: the largest distance of a
        pair with at most a fraction `far` of the different-class pairs at or below it; -inf if
        there is none.

    Example:

    ```python
    from tensorflow_similarity.evaluation import tar_at_far

    tar_at_far([0.1, 0.2, 0.3, 0.4], [True, False, True, False], far=0.5)  # (1.0, 0.3)
    ```
    """
    far = checks.fraction(far, "far", ends=True)
    positive, negative = _sorted_sides(distances, same)
    candidates = np.unique(np.concatenate([positive, negative]))
    accepted = np.searchsorted(negative, candidates, side="right") / len(negative)
    allowed = candidates[accepted <= far]
    if not len(allowed):
        return 0.0, float("-inf")
    threshold = allowed[-1]
    return float(np.searchsorted(positive, threshold, side="right") / len(positive)), float(
        threshold
    )


def equal_error_rate(distances: ArrayLike, same: ArrayLike) -> tuple[float, float]:
    """The equal error rate, at which both kinds of pairs are misjudged equally often.

    Args:
        distances: `[pairs]`.
        same: bool `[pairs]`, whether the pair is of one class.

    Returns:
        The mean of the two error rates at the threshold where they differ least, and that
        threshold.

    Example:

    ```python
    from tensorflow_similarity.evaluation import equal_error_rate

    equal_error_rate([0.1, 0.2, 0.3, 0.4], [True, False, True, False])  # (0.5, 0.2)
    ```
    """
    positive, negative = _sorted_sides(distances, same)
    candidates = np.unique(np.concatenate([positive, negative]))
    accepted = np.searchsorted(negative, candidates, side="right") / len(negative)
    rejected = 1 - np.searchsorted(positive, candidates, side="right") / len(positive)
    best = int(np.abs(accepted - rejected).argmin())
    return float((accepted[best] + rejected[best]) / 2), float(candidates[best])
