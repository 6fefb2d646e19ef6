"""Matchers, which derive one label and one distance from the neighbours of a query."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tensorflow_similarity import targets
from tensorflow_similarity._types import ArrayLike
from tensorflow_similarity.calibration.columns import lookup_columns

__all__ = [
    "ClassificationMatch",
    "MatchMajorityVote",
    "MatchNearest",
    "make_classification_matcher",
]


class ClassificationMatch:
    """Base of matchers. A subclass writes `derive_match`.

    Args:
        name: Its name in results.
        canonical_name: The matcher's own name.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.calibration import ClassificationMatch, match

    class MatchFarthest(ClassificationMatch):
        def __init__(self, name="farthest"):
            super().__init__(name=name, canonical_name="match_farthest")

        def derive_match(self, lookup_labels, lookup_distances):
            return lookup_labels[:, -1], lookup_distances[:, -1]

    match([[0.1, 0.4]], [[3, 7]], 0.5, matcher=MatchFarthest())  # [7]
    ```
    """

    def __init__(self, name: str = "", canonical_name: str = "") -> None:
        self.name = name
        self.canonical_name = canonical_name

    def derive_match(
        self, lookup_labels: np.ndarray, lookup_distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derives one label and one distance for each query.

        Args:
            lookup_labels: int64 `[queries, k]`, nearest first.
            lookup_distances: float64 `[queries, k]`; inf where there is no neighbour.

        Returns:
            Labels `[queries]` and distances `[queries]`; a distance of inf is
            never accepted.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `derive_match`.")

    def get_config(self) -> dict[str, Any]:
        """The names; a subclass with other arguments returns those instead."""
        config = {"name": self.name, "canonical_name": self.canonical_name}
        taken = inspect.signature(type(self).__init__).parameters
        if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
            return config
        return {name: value for name, value in config.items() if name in taken}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClassificationMatch:
        """Makes a matcher from its config."""
        return cls(**config)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class MatchNearest(ClassificationMatch):
    """Matches with the label and distance of the nearest neighbour.

    Args:
        name: Its name in results.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.calibration import MatchNearest

    MatchNearest().derive_match(np.array([[3, 7]]), np.array([[0.1, 0.4]]))  # [3], [0.1]
    ```
    """

    def __init__(self, name: str = "nearest") -> None:
        super().__init__(name=name, canonical_name="match_nearest")

    def derive_match(
        self, lookup_labels: np.ndarray, lookup_distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        first = np.isfinite(lookup_distances).argmax(axis=1)[:, None]
        return (
            np.take_along_axis(lookup_labels, first, axis=1)[:, 0],
            np.take_along_axis(lookup_distances, first, axis=1)[:, 0],
        )


class MatchMajorityVote(ClassificationMatch):
    """Matches with the most frequent label among the neighbours, at their mean distance.

    Among equally frequent labels, the one of the nearest neighbour wins. The distance is
    the mean over all neighbours, including those with other labels.

    Args:
        name: Its name in results.

    Example:

    ```python
    import numpy as np
    from tensorflow_similarity.calibration import MatchMajorityVote

    labels, distances = np.array([[3, 7, 7]]), np.array([[0.1, 0.4, 0.7]])
    MatchMajorityVote().derive_match(labels, distances)  # [7], [0.4]
    ```
    """

    def __init__(self, name: str = "majority_vote") -> None:
        super().__init__(name=name, canonical_name="match_majority_vote")

    def derive_match(
        self, lookup_labels: np.ndarray, lookup_distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        present = np.isfinite(lookup_distances)
        votes = np.zeros(lookup_labels.shape, np.int64)
        for j in range(lookup_labels.shape[1]):
            votes += (lookup_labels == lookup_labels[:, j : j + 1]) & present[:, j : j + 1]
        winner = votes.argmax(axis=1)[:, None]
        number = present.sum(axis=1)
        # In float32, like the distances of lookups, so that a mean compares with a
        # threshold as a distance does.
        total = np.where(present, lookup_distances, 0).astype(np.float32).sum(axis=1)
        mean = total / np.maximum(number, 1).astype(np.float32)
        distances = np.where(number > 0, mean, np.inf)
        return np.take_along_axis(lookup_labels, winner, axis=1)[:, 0], distances


_BY_NAME: dict[str, type[Any]] = {
    "match_nearest": MatchNearest,
    "match_majority_vote": MatchMajorityVote,
}


def make_classification_matcher(matcher: object) -> ClassificationMatch:
    """Resolves a matcher.

    Args:
        matcher: `"match_nearest"`, `"match_majority_vote"` or a `ClassificationMatch`.

    Raises:
        ValueError: If there is no matcher of that name.
        TypeError: If `matcher` is neither.

    Example:

    ```python
    from tensorflow_similarity.calibration import make_classification_matcher

    make_classification_matcher("match_nearest")  # MatchNearest(name='nearest')
    ```
    """
    if isinstance(matcher, ClassificationMatch):
        return matcher
    if isinstance(matcher, str):
        if matcher in _BY_NAME:
            return _BY_NAME[matcher]()
        raise ValueError(
            f"Unknown `matcher`. Expected one of {sorted(_BY_NAME)} or a ClassificationMatch. "
            f"Received: {matcher!r}."
        )
    raise TypeError(
        f"`matcher` must be one of {sorted(_BY_NAME)} or a ClassificationMatch. "
        f"Received: {matcher!r}."
    )


def matcher_of(matcher: ClassificationMatch) -> str | ClassificationMatch:
    """What a calibration stores: the name of a built-in matcher, or the object of a custom one."""
    known = _BY_NAME.get(matcher.canonical_name)
    return matcher.canonical_name if type(matcher) is known else matcher


def matcher_config(matcher: str | ClassificationMatch) -> Any:
    """A matcher as JSON: its name, or class and config of a custom one."""
    if isinstance(matcher, str):
        return matcher
    return {"class": _registered_name(matcher), "config": matcher.get_config()}


def loaded_matcher(config: Any) -> str | ClassificationMatch:
    """Inverse of `matcher_config`. A matcher of unknown class raises once it is used."""
    if not isinstance(config, Mapping):
        return str(config)
    cls = keras.saving.get_registered_object(config["class"])
    if cls is None:
        return _Unknown(config)
    made: ClassificationMatch = cls.from_config(dict(config["config"]))
    return made


def _registered_name(matcher: ClassificationMatch) -> str:
    if isinstance(matcher, _Unknown):
        return matcher.registered_name
    return str(keras.saving.get_registered_name(type(matcher)))


class _Unknown(ClassificationMatch):
    """Placeholder for a matcher whose class was not registered when its calibration was loaded."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.registered_name, self._config = str(config["class"]), dict(config["config"])
        super().__init__(self._config.get("name", ""), self._config.get("canonical_name", ""))

    def derive_match(
        self, lookup_labels: np.ndarray, lookup_distances: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        raise ValueError(
            f"The calibration was made with a matcher of the class {self.registered_name!r}, which "
            "is not registered here. Pass `matcher=`, an object of that class; or decorate the "
            "class with `keras.saving.register_keras_serializable()` before loading."
        )

    def get_config(self) -> dict[str, Any]:
        return self._config


def derive(
    distances: ArrayLike, neighbor_labels: ArrayLike, matcher: object
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked distances `[q, k]`, and the matcher's labels `[q]` and distances `[q]`.

    Labels are ids (−1 for none) or names (None for none), like the neighbours' labels.
    """
    values, labels, names = lookup_columns(distances, neighbor_labels)
    matched, match_distances = make_classification_matcher(matcher).derive_match(labels, values)
    # Matchers written for TensorFlow Similarity return columns.
    return (
        values,
        targets.decode(np.asarray(matched).reshape(len(values)), names),
        np.asarray(match_distances, np.float64).reshape(len(values)),
    )
