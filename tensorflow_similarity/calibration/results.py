"""The result of a calibration, which is saved with the index."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tensorflow_similarity import _checks as checks
from tensorflow_similarity._text_table import text_table
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.calibration.matchers import (
    ClassificationMatch,
    derive,
    loaded_matcher,
    make_classification_matcher,
    matcher_config,
    matcher_of,
)
from tensorflow_similarity.calibration.matches import Matches
from tensorflow_similarity.calibration.probabilities import probabilities_at

__all__ = ["Calibration", "CalibrationResults", "accepted_labels"]


@dataclasses.dataclass
class Calibration:
    """Distance thresholds, and the metrics they reached on the calibration queries.

    Attributes:
        cutpoints: Name -> `{"name", "value", "distance", metric: value, ...}`.
            `"optimal"` has the best value of the calibration metric; the others are the
            targets that were reached. `distance` is the threshold: matches at or below it
            are accepted.
        thresholds: `"distance"` and each metric -> float64 `[candidates]`, the
            whole curve, with values at every distance that occurred.
        unreached: Name -> the target that no threshold reached, in words.
        bounds: Cutpoint -> {metric: one-sided bound at level `confidence`}: lower,
            or upper for fpr. The worst to expect on new queries like those of the
            calibration, taking the threshold as fixed in advance and queries as
            independent.
        per_class: Cutpoint -> {class id or name: distance}, thresholds of individual
            classes, for matches with that label; None means never. Empty unless requested.
        calibration_metric: Name of the metric that `"optimal"` and plain numbers
            in targets refer to.
        matcher: The name of a built-in matcher, or a custom object. To be saved and loaded,
            its class must be registered with
            `keras.saving.register_keras_serializable`.
        k: Number of neighbours used.
        confidence: Level of `bounds`.
        queries: Number of calibration queries.
        reference: Sorted match distances of the calibration queries, or up to 1,000 order
            statistics of them; `drift` compares with these.
        probabilities: `"distance"`, ascending, and `"probability"`, float64 each: the
            estimated probability that a match at a distance is right (isotonic regression, so
            never increasing), to interpolate between. Empty for calibrations made by earlier
            versions.

    Example:

    ```python
    from tensorflow_similarity.calibration import Calibration, calibrate

    calibration = calibrate(
        distances=[[0.1], [0.2], [0.4], [0.5]], neighbor_labels=[[1], [2], [3], [1]],
        query_labels=[1, 2, 3, 4], thresholds_targets={"sure": {"precision": 0.99}},
    )
    calibration.cutpoints["sure"]["distance"]  # 0.4
    calibration.match([[0.3], [0.45]], [[7], [8]], cutpoint="sure")  # [7, -1]
    Calibration.from_config(calibration.get_config())
    ```
    """

    cutpoints: dict[str, dict[str, Any]]
    thresholds: dict[str, np.ndarray]
    unreached: dict[str, str] = dataclasses.field(default_factory=dict)
    bounds: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    per_class: dict[str, dict[Any, float | None]] = dataclasses.field(default_factory=dict)
    calibration_metric: str = "f1"
    matcher: str | ClassificationMatch = "match_nearest"
    k: int = 1
    confidence: float = 0.95
    queries: int = 0
    reference: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    probabilities: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def distance(self, cutpoint: str = "optimal") -> float:
        """The threshold of a cutpoint.

        Args:
            cutpoint: Its name.

        Raises:
            KeyError: If there is no such cutpoint, or its target was not reached.
        """
        checks.text(cutpoint, "cutpoint")
        if cutpoint in self.cutpoints:
            return float(self.cutpoints[cutpoint]["distance"])
        if cutpoint in self.unreached:
            raise KeyError(
                f"Cutpoint {cutpoint!r} does not exist: no threshold reached "
                f"{self.unreached[cutpoint]} in the calibration."
            )
        raise KeyError(f"No `cutpoint` {cutpoint!r}, only {sorted(self.cutpoints)}.")

    def match(
        self,
        distances: ArrayLike,
        neighbor_labels: ArrayLike,
        cutpoint: str = "optimal",
        no_match_label: object = -1,
        matcher: object = None,
    ) -> np.ndarray:
        """Matches queries: returns the label of each match at or below the threshold.

        Args:
            distances: `[queries, k]`, nearest first; inf where there is no neighbour.
            neighbor_labels: Class ids or names `[queries, k]`; −1 or None for none.
            cutpoint: Name of the cutpoint, whose thresholds per class are used if it has any.
            no_match_label: Label of queries without a match; by default −1, or None among
                names.
            matcher: None: the matcher of the calibration.

        Returns:
            int64 `[queries]`, or names.
        """
        self.distance(cutpoint)  # An unknown cutpoint fails first.
        _, labels, match_distances = derive(distances, neighbor_labels, matcher or self.matcher)
        accepted = match_distances <= self.limits(labels, cutpoint)
        return accepted_labels(accepted, labels, no_match_label)

    def match_details(
        self,
        distances: Any,
        neighbor_labels: Any,
        cutpoint: str = "optimal",
        no_match_label: Any = -1,
        matcher: Any = None,
        *,
        neighbor_ids: Any = None,
        neighbor_keys: Any = None,
        class_names: tuple[str, ...] | None = None,
    ) -> Matches:
        """Like `match`, with the distance, probability and record of each match.

        Args:
            distances: As for `match`.
            neighbor_labels: As for `match`.
            cutpoint: As for `match`.
            no_match_label: As for `match`.
            matcher: As for `match`.
            neighbor_ids: Ids of the neighbours, int64 `[queries, k]`. None: the
                result has no record ids.
            neighbor_keys: Keys of the neighbours, `[queries, k]`. None: they have none.
            class_names: The class names of the index, stored with the matches.

        Returns:
            The `Matches`, whose `labels` are what `match` returns.

        Raises:
            KeyError: If there is no such cutpoint.
            TypeError: If labels are neither ids nor names, or ids are not integers.
            ValueError: If shapes do not match, or the matcher does not exist.
        """
        self.distance(cutpoint)
        own = matcher or self.matcher
        values, labels, match_distances = derive(distances, neighbor_labels, own)
        accepted = match_distances <= self.limits(labels, cutpoint)
        ids = np.full(len(labels), -1, np.int64)
        keys: np.ndarray | None = None
        if neighbor_ids is not None:
            given = checks.host_array(neighbor_ids, "neighbor_ids")
            if given.dtype.kind not in "iu":
                raise TypeError(f"`neighbor_ids` must be integers. Received: {given.dtype} values.")
            if given.shape != values.shape:
                raise ValueError(
                    f"`neighbor_ids` must have the shape of `distances`, {values.shape}. "
                    f"Received: shape {given.shape}."
                )
            theirs = checks.host_array(neighbor_labels, "neighbor_labels")
            alike = (theirs == labels[:, None]) & np.isfinite(values)
            first = alike.argmax(axis=1)[:, None]
            found = np.take_along_axis(given, first, axis=1)[:, 0]
            ids = np.where(alike.any(axis=1), found, -1)
            if neighbor_keys is not None:
                keys = np.take_along_axis(np.asarray(neighbor_keys, object), first, axis=1)[:, 0]
                keys[~alike.any(axis=1)] = None
        fitted = self.probabilities
        if matcher_of(make_classification_matcher(own)) != self.matcher:
            fitted = {}  # of other distances
        return Matches(
            accepted_labels(accepted, labels, no_match_label),
            accepted & np.isfinite(match_distances),
            labels,
            match_distances,
            probabilities_at(fitted, match_distances),
            ids,
            cutpoint,
            class_names,
            keys,
        )

    def limits(self, labels: np.ndarray, cutpoint: str = "optimal") -> np.ndarray:
        """The threshold that applies to each match.

        Args:
            labels: The labels of the matches `[queries]`, ids or names.
            cutpoint: Name of the cutpoint.

        Returns:
            float64 `[queries]`; -inf for a class that is never matched.
        """
        common = self.distance(cutpoint)
        own = self.per_class.get(cutpoint)
        if not own:
            return np.full(len(labels), common)
        per_class = [own.get(label, common) for label in labels.tolist()]
        return np.array([-np.inf if d is None else d for d in per_class], np.float64)

    def get_config(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        config = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("thresholds", "reference", "per_class", "probabilities")
        }
        config["matcher"] = matcher_config(self.matcher)
        config["thresholds"] = {k: np.asarray(v).tolist() for k, v in self.thresholds.items()}
        config["reference"] = np.asarray(self.reference).tolist()
        config["probabilities"] = {k: np.asarray(v).tolist() for k, v in self.probabilities.items()}
        # JSON keys are strings, so class ids are stored separately.
        config["per_class"] = {
            name: {"labels": list(own), "distances": list(own.values())}
            for name, own in self.per_class.items()
        }
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Calibration:
        """Makes an equal calibration from `get_config()`, also after a JSON round trip."""
        config = dict(config)
        config["matcher"] = loaded_matcher(config.get("matcher", "match_nearest"))
        config["thresholds"] = {
            name: np.asarray(values, np.float64) for name, values in config["thresholds"].items()
        }
        config["reference"] = np.asarray(config.get("reference", []), np.float64)
        config["probabilities"] = {
            name: np.asarray(values, np.float64)
            for name, values in config.get("probabilities", {}).items()
        }
        config["per_class"] = {
            name: dict(zip(own["labels"], own["distances"], strict=True))
            for name, own in config.get("per_class", {}).items()
        }
        return cls(**config)

    def table(self, digits: int = 3) -> str:
        """Cutpoints as a table, with unreached targets below it.

        Args:
            digits: Minimum number of significant digits. Only the display is rounded.
        """
        metrics = [name for name in self.thresholds if name != "distance"]
        rows: list[Sequence[object]] = [
            [name, point["distance"], *(point.get(metric) for metric in metrics)]
            for name, point in self.cutpoints.items()
        ]
        table = text_table(["cutpoint", "distance", *metrics], rows, 0, digits)
        notes = [f"{name}: not reached ({what})" for name, what in self.unreached.items()]
        return "\n".join([table, *notes])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        points = ", ".join(f"{n}: {p['distance']:.4g}" for n, p in self.cutpoints.items())
        unreached = f", unreached={sorted(self.unreached)}" if self.unreached else ""
        return (
            f"Calibration({{{points}}}, metric={self.calibration_metric!r}, "
            f"matcher={self.matcher!r}, queries={self.queries}{unreached})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Calibration):
            return NotImplemented
        return self.get_config() == other.get_config()

    __hash__ = None  # type: ignore[assignment]


def accepted_labels(accepted: np.ndarray, labels: np.ndarray, no_match_label: object) -> np.ndarray:
    """The labels of accepted matches, and `no_match_label` for others (None for −1 among names)."""
    if labels.dtype != object:
        return np.where(accepted, labels, checks.int64(no_match_label, "no_match_label"))
    if isinstance(no_match_label, (int, np.integer)) and no_match_label == -1:
        no_match_label = None
    found = labels.copy()
    found[~accepted] = no_match_label
    return found


#: The name in TensorFlow Similarity.
CalibrationResults = Calibration
