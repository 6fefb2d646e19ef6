"""Checks whether live queries still resemble the calibration queries."""

from __future__ import annotations

import dataclasses

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.calibration.matchers import derive
from tensorflow_similarity.calibration.results import Calibration

__all__ = ["DriftReport", "drift"]

_FEWEST_QUERIES = 30


@dataclasses.dataclass(frozen=True)
class DriftReport:
    """Live match distances compared with those of the calibration.

    Attributes:
        drifted: Whether they differ significantly and by enough to matter; None if there
            are too few queries to tell.
        statistic: Largest difference of the two distribution functions
            (Kolmogorov-Smirnov), 0 to 1.
        p_value: Probability of a difference at least this large without drift.
        median: Median of the live match distances.
        calibration_median: Median of the match distances of the calibration.
        accepted: Cutpoint -> fraction of the live queries that it accepts.
        queries: Number of live queries.
        verdict: A summary in one sentence.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.calibration import calibrate, drift

    rng = np.random.default_rng(0)
    labels = np.ones((200, 1), int)
    calibration = calibrate(rng.random((200, 1)), labels, labels[:, 0])
    report = drift(calibration, 0.5 + rng.random((200, 1)), labels)
    report.drifted  # True
    print(report)
    ```
    """

    drifted: bool | None
    statistic: float
    p_value: float
    median: float
    calibration_median: float
    accepted: dict[str, float]
    queries: int
    verdict: str

    def __str__(self) -> str:
        return self.verdict


def drift(
    calibration: Calibration,
    distances: ArrayLike,
    neighbor_labels: ArrayLike,
    matcher: object = None,
    significance: float = 0.01,
    smallest_shift: float = 0.1,
) -> DriftReport:
    """Checks whether live queries still resemble the calibration queries.

    Compares the distances between queries and their matches; no labels are needed.
    Thresholds were chosen for the distribution of these distances at calibration. If it has
    moved, the precision and recall measured then no longer apply.

    Args:
        calibration: The calibration in use.
        distances: Distances of live lookups `[queries, k]`; inf where there is no
            neighbour.
        neighbor_labels: Class ids `[queries, k]`.
        matcher: None: the matcher of the calibration.
        significance: Largest p-value that counts as drift.
        smallest_shift: Smallest `statistic` that counts as drift. With thousands of
            queries, even irrelevant differences are significant.

    Returns:
        A `DriftReport`; its `verdict` is a summary in words.

    Raises:
        ValueError: If there are no queries, shapes do not match, or the
            calibration holds no distances to compare with.

    Example:

    ```python
    from tensorflow_similarity.calibration import calibrate, drift

    calibration = calibrate([[0.1], [0.3]], [[1], [2]], [1, 2])
    print(drift(calibration, [[0.2], [0.25]], [[1], [2]]))
    ```
    """
    if not isinstance(calibration, Calibration):
        raise TypeError(
            f"`calibration` must be one that `calibrate` made. Received: {calibration!r}."
        )
    significance = checks.fraction(significance, "significance", ends=True)
    smallest_shift = checks.fraction(smallest_shift, "smallest_shift", ends=True)
    used = calibration.matcher if matcher is None else matcher
    _, labels, match_distances = derive(distances, neighbor_labels, used)
    checks.count(len(labels), "number of queries")
    reference = np.asarray(calibration.reference)
    if not len(reference):
        raise ValueError(
            "`calibration` holds no distances to compare with. Received: an empty `reference`. "
            "Make it by `calibrate`."
        )
    live = match_distances[np.isfinite(match_distances)]
    accepted = {
        name: float((match_distances <= calibration.limits(labels, name)).mean())
        for name in calibration.cutpoints
    }
    if not len(live):
        live = np.array([np.inf])
    gap = _largest_gap(reference, live)
    statistic = abs(gap)
    p_value = _kolmogorov(statistic, min(max(calibration.queries, 1), 10**9), len(live))
    median, before = float(np.median(live)), float(np.median(reference))
    drifted: bool | None = p_value <= significance and statistic >= smallest_shift
    evidence = (
        f"median distance to the match {median:.4g}, in the calibration {before:.4g}; "
        f"Kolmogorov-Smirnov {statistic:.2f}, p = {p_value:.2g}, {len(labels)} queries"
    )
    if len(labels) < _FEWEST_QUERIES:
        drifted = None
        verdict = f"Too few queries to tell, {_FEWEST_QUERIES} are needed ({evidence})."
    elif drifted:
        way = "farther from" if gap > 0 else "nearer to"
        share = accepted.get("optimal")
        now = "" if share is None else f" The optimal cutpoint accepts {share:.0%} of them."
        verdict = (
            f"Drift: live queries are {way} what they match than those of the calibration "
            f"({evidence}).{now} Calibrate again with recent labelled queries."
        )
    else:
        verdict = f"No drift seen ({evidence})."
    return DriftReport(drifted, statistic, p_value, median, before, accepted, len(labels), verdict)


def _largest_gap(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two empirical distribution functions.

    Positive if more of `a` than of `b` is at or below that point, so `b` is larger.
    """
    a, b = np.sort(a), np.sort(b)
    points = np.concatenate([a, b])
    below_a = np.searchsorted(a, points, side="right") / len(a)
    below_b = np.searchsorted(b, points, side="right") / len(b)
    gaps = below_a - below_b
    return float(gaps[np.abs(gaps).argmax()])


def _kolmogorov(statistic: float, n: int, m: int) -> float:
    """P-value of the two-sample Kolmogorov-Smirnov statistic, for large samples.

    Reference:
        Stephens, *Use of the Kolmogorov-Smirnov, Cramer-von Mises and related
        statistics without extensive tables*, JRSS B 1970.
    """
    root = (n * m / (n + m)) ** 0.5
    scaled = (root + 0.12 + 0.11 / root) * statistic
    if scaled < 0.2:  # Near 0 the series below converges slowly, to 1.
        return 1.0
    j = np.arange(1, 101)
    return float(np.clip(2 * ((-1.0) ** (j - 1) * np.exp(-2 * (j * scaled) ** 2)).sum(), 0, 1))
