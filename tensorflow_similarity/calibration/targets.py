"""Targets of calibration, and the choice of thresholds that reach them."""

from __future__ import annotations

import dataclasses
import numbers
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from tensorflow_similarity._caller import levels_to_the_caller
from tensorflow_similarity.classification_metrics import (
    ClassificationMetric,
    make_classification_metric,
)

__all__ = ["Target", "choose_all", "make_targets", "warn_of_order"]


@dataclasses.dataclass(frozen=True)
class Target:
    """Values that metrics must reach (or must not exceed, if less is better)."""

    name: str
    metrics: tuple[ClassificationMetric, ...]
    limits: tuple[float, ...]

    def reached(self, values: Mapping[str, np.ndarray], accepted: np.ndarray) -> np.ndarray:
        """Bool `[thresholds]`. A threshold that accepts nothing reaches nothing."""
        kept = np.ones(len(accepted), bool)
        for metric, limit in zip(self.metrics, self.limits, strict=True):
            value = values[metric.name]
            kept &= value >= limit if metric.maximize else value <= limit
        return kept & (accepted > 0)

    def choose(self, reached: np.ndarray) -> int | None:
        """Position of the threshold to use, or None.

        If a metric falls as the threshold grows (precision), or must stay low (fpr), the
        largest threshold, which answers the most queries; if all grow (recall, f1), the
        smallest, which makes the fewest mistakes.
        """
        places = np.flatnonzero(reached)
        if not len(places):
            return None
        return int(places[0] if self.takes_smallest else places[-1])

    @property
    def takes_smallest(self) -> bool:
        """Whether to take the smallest threshold that reaches the target, not the largest."""
        return all(metric.increasing and metric.maximize for metric in self.metrics)

    def asks_as_much_as(self, other: Target) -> bool:
        """Whether reaching this target implies reaching the other."""
        mine = {
            metric.name: (metric, limit)
            for metric, limit in zip(self.metrics, self.limits, strict=True)
        }
        for theirs, limit in zip(other.metrics, other.limits, strict=True):
            metric, own = mine.get(theirs.name, (None, 0.0))
            if metric is None or metric.canonical_name != theirs.canonical_name:
                return False
            if (own < limit) if theirs.maximize else (own > limit):
                return False
        return True

    def describe(self) -> str:
        """The target in words, such as `precision >= 0.99`."""
        return " and ".join(
            f"{metric.name} {'>=' if metric.maximize else '<='} {limit:g}"
            for metric, limit in zip(self.metrics, self.limits, strict=True)
        )


def choose_all(targets: Sequence[Target], reached: Sequence[np.ndarray]) -> list[int | None]:
    """Positions of the thresholds of all targets: see `Target.choose`.

    A target that also limits mistakes takes the largest threshold. A weaker one without that limit
    takes the smallest, which might accept less; in that case it gets the threshold of the stronger
    one.

    Args:
        targets: The targets.
        reached: The result of `Target.reached` for each, bool `[thresholds]`.
    """
    places = [target.choose(held) for target, held in zip(targets, reached, strict=True)]
    chosen = list(places)
    for i, weaker in enumerate(targets):
        for place, stricter in zip(places, targets, strict=True):
            if place is None or stricter.takes_smallest or not stricter.asks_as_much_as(weaker):
                continue
            chosen[i] = max(place, chosen[i] or 0)
    return chosen


def warn_of_order(
    targets: Sequence[Target], reached: Sequence[np.ndarray], chosen: Sequence[int | None]
) -> None:
    """Warns if a target that limits no mistakes accepts less than one that does.

    Both are as documented, but a cutpoint that is called "loose" may then be the stricter one.

    Args:
        targets: The targets.
        reached: The result of `Target.reached` for each, bool `[thresholds]`.
        chosen: The result of `choose_all`.
    """
    every = list(zip(targets, reached, chosen, strict=True))
    for small, held, place in every:
        if place is None or not small.takes_smallest:
            continue
        wider = [
            (there, limited)
            for limited, _, there in every
            if there is not None and not limited.takes_smallest and there > place and held[there]
        ]
        if not wider:
            continue
        limited = max(wider, key=lambda pair: pair[0])[1]
        both = {
            metric.name: limit
            for target in (small, limited)
            for metric, limit in zip(target.metrics, target.limits, strict=True)
        }
        warnings.warn(
            f"The cutpoint {small.name!r} ({small.describe()}) accepts less than {limited.name!r} "
            f"({limited.describe()}), which reaches {small.describe()} too: a target without a "
            "limit on mistakes takes the smallest threshold. To accept as much, write "
            f"{small.name!r}: {both}.",
            stacklevel=levels_to_the_caller(),
        )


def make_targets(targets: object, default: ClassificationMetric) -> list[Target]:
    """Resolves `thresholds_targets`.

    Args:
        targets: Mapping from a name to a number, a target for the `default`
            metric, or to a mapping from metrics to numbers. None for no targets.
        default: The calibration metric.

    Raises:
        ValueError: If a number is not within 0 and 1, a metric does not exist, or
            a target has the reserved name "optimal".
        TypeError: If the type is not one of these.
    """
    if targets is None:
        return []
    if not isinstance(targets, Mapping):
        raise TypeError(
            "`thresholds_targets` must map names to numbers or to {metric: number}, e.g. "
            f"{{'strict': {{'precision': 0.99}}}}. Received: {targets!r}."
        )
    resolved = []
    for name, wanted in targets.items():
        if name == "optimal":
            raise ValueError(
                "`thresholds_targets` must not contain 'optimal', the name of the best value of "
                "`calibration_metric`. Received: 'optimal'. Use another name."
            )
        parts = wanted if isinstance(wanted, Mapping) else {default: wanted}
        if not parts:
            raise ValueError(f"`thresholds_targets[{name!r}]` must not be empty. Received: {{}}.")
        for value in parts.values():
            if isinstance(value, bool) or not isinstance(value, numbers.Real):
                raise TypeError(
                    f"`thresholds_targets[{name!r}]` must be a number or {{metric: number}}. "
                    f"Received: {value!r}."
                )
            if not 0 <= float(value) <= 1:
                raise ValueError(
                    f"`thresholds_targets[{name!r}]` must be between 0 and 1. Received: {value!r}."
                )
        resolved.append(
            Target(
                str(name),
                tuple(make_classification_metric(metric) for metric in parts),
                tuple(float(value) for value in parts.values()),
            )
        )
    return resolved
