"""Verification on a given list of trials: pairs of one identity, or of two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances as distance_functions
from tensorflow_similarity import targets
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.distances.base import DistanceLike
from tensorflow_similarity.evaluation.pairs import paired_distances
from tensorflow_similarity.targets import Targets

__all__ = ["TrialResult", "verify_trials"]


@dataclasses.dataclass(frozen=True)
class _Trials:
    """Trials grouped by distinct distance, for resampling."""

    values: np.ndarray  # float64 [cells], ascending
    cell: np.ndarray  # int64 [trials], the place of each trial's distance in `values`
    same: np.ndarray  # bool [trials]
    far: tuple[float, ...]
    prior: float
    miss_cost: float
    false_accept_cost: float

    def rates(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """False accept and reject rates, accepting none and at each distance, `[1 + cells]`."""
        sides = []
        for mask in (~self.same, self.same):
            count = np.bincount(
                self.cell[mask],
                weights=None if weights is None else weights[mask],
                minlength=len(self.values),
            )
            total = np.concatenate([[0], np.cumsum(count, dtype=np.float64)])
            sides.append(total / total[-1] if total[-1] > 0 else np.full(len(total), np.nan))
        return sides[0], 1 - sides[1]

    def metrics(self, weights: np.ndarray | None = None) -> dict[str, tuple[float, float]]:
        """Name -> value and threshold, which is NaN where there is none."""
        accepted, rejected = self.rates(weights)
        if np.isnan(accepted).any() or np.isnan(rejected).any():
            names = ["roc_auc", "eer", "min_dcf", *(f"tar@far={limit:g}" for limit in self.far)]
            return dict.fromkeys(names, (np.nan, np.nan))
        thresholds = np.concatenate([[-np.inf], self.values])
        # Of pairs at one distance either order counts half: trapezoids.
        area = float(((2 - rejected[1:] - rejected[:-1]) / 2 * np.diff(accepted)).sum())
        found = {"roc_auc": (area, np.nan)}
        equal = 1 + int(np.abs(accepted[1:] - rejected[1:]).argmin())
        found["eer"] = float((accepted[equal] + rejected[equal]) / 2), float(thresholds[equal])
        miss = self.miss_cost * self.prior
        false_accept = self.false_accept_cost * (1 - self.prior)
        cost = (miss * rejected + false_accept * accepted) / min(miss, false_accept)
        least = int(cost.argmin())
        found["min_dcf"] = float(cost[least]), float(thresholds[least])
        for limit in self.far:
            last = int(np.searchsorted(accepted, limit * (1 + 1e-12), side="right")) - 1
            found[f"tar@far={limit:g}"] = float(1 - rejected[last]), float(thresholds[last])
        return found


class TrialResult(Mapping[str, float]):
    """The result of `verify_trials`.

    Values by name, `result["eer"]`: `roc_auc`, `eer`, `min_dcf` and `tar@far=0.01` for each
    requested false accept rate. It prints as a table with thresholds and intervals.

    Attributes:
        same_trials: Number of trials of one identity.
        different_trials: Number of trials of two identities.
        thresholds: Distances at which decisions change, float64 `[points]`, ascending;
            the first is −inf, where nothing is accepted. A pair at or below is accepted.
        false_accept_rates: At each threshold, the fraction of trials of two identities that
            are accepted, float64 `[points]`.
        false_reject_rates: The fraction of trials of one identity that are rejected. Plotted
            against the former it is the DET curve; `1 − false_reject_rates` gives the ROC curve.
        distances: The distance of each trial, float64 `[trials]`.
        confidence: Level of `interval`.

    Example:

    ```python
    from tensorflow_similarity.evaluation import verify_trials

    result = verify_trials([1, 1, 0, 0, 1], distances=[0.1, 0.3, 0.2, 0.9, 0.15])
    result["eer"]  # 0.4166…, at the threshold 0.2
    result.threshold("eer")
    result.interval("eer")
    ```
    """

    def __init__(
        self,
        trials: _Trials,
        confidence: float,
        draw: Callable[[np.random.Generator], np.ndarray],
        resamples: int,
        seed: int,
    ) -> None:
        self._trials, self._draw = trials, draw
        self._resamples, self._seed = resamples, seed
        self._found = trials.metrics()
        self.confidence = confidence
        self.same_trials = int(trials.same.sum())
        self.different_trials = int((~trials.same).sum())
        self.thresholds = np.concatenate([[-np.inf], trials.values])
        self.false_accept_rates, self.false_reject_rates = trials.rates()
        self.distances = trials.values[trials.cell]

    def __getitem__(self, name: str) -> float:
        self._check(name)
        return self._found[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def threshold(self, name: str) -> float:
        """The distance at which a value is reached; −inf if nothing may be accepted.

        Args:
            name: Any name except `roc_auc`, which covers all thresholds.
        """
        self._check(name)
        if name == "roc_auc":
            raise KeyError("roc_auc has no threshold: it is of all of them.")
        return self._found[name][1]

    def interval(self, name: str) -> tuple[float, float]:
        """Confidence interval of a value, from the bootstrap.

        Args:
            name: Its name.

        Returns:
            Lower and upper end; NaN without resamples.
        """
        self._check(name)
        return self._intervals[name]

    @cached_property
    def _intervals(self) -> dict[str, tuple[float, float]]:
        if not self._resamples:
            return dict.fromkeys(self._found, (float("nan"), float("nan")))
        rng = np.random.default_rng(self._seed)
        drawn = [self._trials.metrics(self._draw(rng)) for _ in range(self._resamples)]
        ends = [(1 - self.confidence) / 2, (1 + self.confidence) / 2]
        found = {}
        for name in self._found:
            values = np.array([values[name][0] for values in drawn])
            low, high = np.nanquantile(values, ends)
            found[name] = float(low), float(high)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Values, thresholds and intervals, as plain objects for JSON."""
        return {
            name: {"value": value, "threshold": at, "interval": list(self.interval(name))}
            for name, (value, at) in self._found.items()
        }

    def __str__(self) -> str:
        rows: list[list[object]] = []
        for name, (value, at) in self._found.items():
            low, high = self.interval(name)
            shown = None if np.isnan(at) else at
            rows.append([name, value, f"{low:.4f} to {high:.4f}", shown])
        level = f"{100 * self.confidence:g}% interval"
        table = text_table(["metric", "value", level, "at distance"], rows)
        kinds = f"{self.same_trials:,} trials of one identity, {self.different_trials:,} of two"
        return f"{table}\n{kinds}"

    def __repr__(self) -> str:
        values = ", ".join(f"{name}: {value:.4f}" for name, (value, _) in self._found.items())
        return f"TrialResult({{{values}}}, trials={self.same_trials + self.different_trials})"

    def _check(self, name: str) -> None:
        if name not in self._found:
            raise KeyError(f"No value {name!r}, only {list(self._found)}.")


def verify_trials(
    same: ArrayLike,
    distances: ArrayLike | None = None,
    *,
    scores: ArrayLike | None = None,
    embeddings: ArrayLike | None = None,
    left: ArrayLike | None = None,
    right: ArrayLike | None = None,
    distance: DistanceLike = "cosine",
    far: tuple[float, ...] = (0.1, 0.01, 0.001),
    prior: float = 0.01,
    miss_cost: float = 1.0,
    false_accept_cost: float = 1.0,
    subjects: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> TrialResult:
    """Evaluates verification on a given list of trials, as face and voice benchmarks provide.

    Pass one of: `distances`; `scores`, higher for trials of one identity; `embeddings` with
    positions `left` and `right`; or the embeddings of both sides as `left` and `right`.

    Args:
        same: Whether each trial is of one identity, `[trials]` of 0 and 1; or
            `Targets.pairs(same, left, right)`.
        distances: `[trials]`.
        scores: `[trials]`. Thresholds are then given as distances, −score.
        embeddings: `[n, dim]`.
        left: int `[trials]`, positions in `embeddings`; or without those, embeddings
            `[trials, dim]`.
        right: Likewise, for the other side.
        distance: A name, an object or a function, for embeddings: see `distances.get`.
        far: False accept rates at which to report the true accept rate.
        prior: For `min_dcf`: probability that a trial is of one identity.
        miss_cost: For `min_dcf`: cost of rejecting such a trial.
        false_accept_cost: For `min_dcf`: cost of accepting a trial of two identities.
        subjects: For intervals: ids or names of the identities of both sides, a pair of
            `[trials]` each. The bootstrap then draws whole identities, since trials of one
            identity are not independent. Defaults to `None`: it draws trials.
        confidence: Level of the intervals.
        resamples: Number of bootstrap samples; 0 for no intervals.
        seed: Seed of the bootstrap.

    Returns:
        A `TrialResult`. The equal error rate is the mean of both rates where they differ
        least. `min_dcf` is the minimum of `miss_cost · prior · FRR + false_accept_cost ·
        (1 − prior) · FAR` over all thresholds, divided by the cost of accepting everything or
        nothing, whichever is less (NIST's normalisation): 1 is no better than that.

    Raises:
        TypeError: If an argument is not numbers.
        ValueError: If there is no trial of one of the kinds, shapes do not match, a number is NaN
            or out of range, or trials are given in none of these ways or in several.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.evaluation import verify_trials

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    x = np.eye(10)[labels] + 0.3 * rng.normal(size=(200, 10))
    left, right = rng.integers(200, size=(2, 1000))
    print(verify_trials(labels[left] == labels[right], embeddings=x, left=left, right=right))
    ```
    """
    pairs = same if isinstance(same, Targets) else Targets.pairs(same)
    if pairs.kind != "pairs":
        raise TypeError(f"`same` must be 0 and 1, or Targets.pairs. Received: {pairs!r}.")
    values = np.asarray(pairs.same)  # type: ignore[attr-defined]
    if not ((values == 0) | (values == 1)).all():
        raise ValueError(
            f"`same` must be 0 and 1. Received: {values[(values != 0) & (values != 1)][0]}."
        )
    if pairs.left is not None and left is None and right is None:  # type: ignore[attr-defined]
        left, right = pairs.left, pairs.right  # type: ignore[attr-defined]
    kinds = values == 1
    if kinds.all() or not kinds.any():
        raise ValueError(
            "`same` must hold trials of one identity and trials of two. Received: "
            f"{int(kinds.sum())} of {len(kinds)} of one."
        )
    prior = checks.fraction(prior, "prior")
    confidence = checks.fraction(confidence, "confidence")
    miss_cost = checks.positive(miss_cost, "miss_cost")
    false_accept_cost = checks.positive(false_accept_cost, "false_accept_cost")
    limits = checks.fractions(far, "far")
    checks.rng(seed)
    count = checks.count(resamples, "resamples", minimum=0)
    found = _distances(len(kinds), distances, scores, embeddings, left, right, distance)
    cells, places = np.unique(found, return_inverse=True)
    trials = _Trials(cells, places.reshape(-1), kinds, limits, prior, miss_cost, false_accept_cost)
    return TrialResult(trials, confidence, _drawing(kinds, subjects), count, seed)


def _distances(
    trials: int,
    distances: ArrayLike | None,
    scores: ArrayLike | None,
    embeddings: ArrayLike | None,
    left: ArrayLike | None,
    right: ArrayLike | None,
    distance: DistanceLike,
) -> np.ndarray:
    """The distance of each trial, float64 `[trials]`."""
    sides = left is not None or right is not None or embeddings is not None
    ways = [distances is not None, scores is not None, sides]
    if sum(ways) != 1:
        raise ValueError(
            "Trials must be given by `distances`, by `scores`, or by embeddings. Received: "
            f"{sum(ways)} of these ways."
        )
    if not sides:
        name, given = ("distances", distances) if scores is None else ("scores", scores)
        array = checks.host_array(given, name)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"`{name}` must be numbers. Received: dtype {array.dtype}.")
        if array.shape != (trials,):
            raise ValueError(
                f"`{name}` must have shape [{trials}], one for each trial. Received: shape "
                f"{array.shape}."
            )
        array = array.astype(np.float64)
        if np.isnan(array).any():
            raise ValueError(f"`{name}` must not be NaN. Received: {int(np.isnan(array).sum())}.")
        return array if scores is None else -array
    if left is None or right is None:
        raise ValueError("`left` and `right` go together. Received: not both.")
    resolved = distance_functions.get(distance)
    if embeddings is None:
        first = checks.embeddings(left, "left")
        second = checks.embeddings(right, "right", size=first.shape[1])
        if len(first) != trials or len(second) != trials:
            raise ValueError(
                f"`left` and `right` must hold one row for each trial, {trials}. Received: "
                f"{len(first)} and {len(second)}."
            )
        x, a = np.concatenate([first, second]), np.arange(trials)
        b = a + trials
    else:
        x = checks.embeddings(embeddings)
        a, b = (
            _places(side, name, trials, len(x)) for side, name in ((left, "left"), (right, "right"))
        )
    return paired_distances(resolved, x, a, b).astype(np.float64)


def _places(values: ArrayLike, name: str, trials: int, count: int) -> np.ndarray:
    places = checks.class_ids(values, name, trials)
    if len(places) and (places.min() < 0 or places.max() >= count):
        raise ValueError(
            f"`{name}` must be positions from 0 to {count - 1} in `embeddings`. Received: values "
            f"from {places.min()} to {places.max()}."
        )
    return places


def _drawing(same: np.ndarray, subjects: object) -> Callable[[np.random.Generator], np.ndarray]:
    """Draws how often each trial counts in a bootstrap sample."""
    if subjects is None:
        sides = [np.flatnonzero(same), np.flatnonzero(~same)]

        def of_trials(rng: np.random.Generator) -> np.ndarray:
            weights = np.zeros(len(same))
            for side in sides:
                drawn = rng.integers(len(side), size=len(side))
                weights[side] = np.bincount(drawn, minlength=len(side))
            return weights

        return of_trials
    if not isinstance(subjects, (tuple, list)) or len(subjects) != 2:
        raise ValueError("`subjects` must be a pair: those of the left, and those of the right.")
    first, second = targets.align(
        targets.get(subjects[0], "subjects[0]", len(same)),
        targets.get(subjects[1], "subjects[1]", len(same)),
        ("subjects[0]", "subjects[1]"),
    )
    ids, places = np.unique(np.concatenate([first.ids, second.ids]), return_inverse=True)
    a, b = places.reshape(2, -1)
    if ((a == b) != same).any():
        wrong = int(np.flatnonzero((a == b) != same)[0])
        raise ValueError(
            "`subjects` must be equal in the trials of one identity and differ in the others. "
            f"Received: trial {wrong}, where same is {bool(same[wrong])}."
        )

    def of_subjects(rng: np.random.Generator) -> np.ndarray:
        drawn = np.bincount(rng.integers(len(ids), size=len(ids)), minlength=len(ids))
        return np.where(a == b, drawn[a], drawn[a] * drawn[b]).astype(np.float64)

    return of_subjects
