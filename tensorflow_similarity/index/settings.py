"""What an index was asked to be: the arguments of its constructor, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from tensorflow_similarity import _checks as checks
from tensorflow_similarity import distances
from tensorflow_similarity.index import engines
from tensorflow_similarity.index.folding import Folding
from tensorflow_similarity.index.vectors import STORAGES

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The checked arguments of an index, see `Index`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range or names nothing known.
    """

    embedding_size: int
    distance: Any = "cosine"
    search: Any = "auto"
    target_recall: float = 0.95
    search_params: Mapping[str, Any] | None = None
    background: bool = False
    storage: str = "float32"

    def __post_init__(self) -> None:
        recall, params = self.target_recall, self.search_params
        size = checks.count(self.embedding_size, "embedding_size")
        distance = distances.get(self.distance)
        if not isinstance(recall, int | float):
            raise TypeError(f"`target_recall` must be a number. Received: {recall!r}.")
        if not 0 < recall <= 1:
            raise ValueError(f"`target_recall` must be in (0, 1]. Received: {recall!r}.")
        if not isinstance(params, Mapping | None):
            raise TypeError(f"`search_params` must be a dict. Received: {params!r}.")
        if params and engines.get(self.search) is None:
            raise ValueError(
                f"`search_params` are those of an engine, and search={self.search!r} has no "
                f"engine. Received: {dict(params)}."
            )
        if self.storage not in STORAGES:
            raise ValueError(
                f"`storage` must be one of {list(STORAGES)}. Received: {self.storage!r}."
            )
        for name, value in (
            ("embedding_size", size),
            ("distance", distance),
            ("target_recall", float(recall)),
            ("search_params", dict(params or {})),
            ("background", bool(self.background)),
        ):
            object.__setattr__(self, name, value)
        self.folding().new_engine()  # refuses wrong parameters now, not at the first lookup

    def folding(self) -> Folding:
        """What decides on graphs, anew."""
        return Folding(
            engine=engines.get(self.search),
            distance=self.distance.name,
            params=dict(self.search_params or {}),
            target_recall=self.target_recall,
            automatic=self.search == "auto",
            background=self.background,
        )

    def fitting(self, was: Settings, path: str) -> Settings:
        """These, for an index that was made with others.

        Raises:
            ValueError: If its records do not fit these.
        """
        for name in ("embedding_size", "distance", "storage"):
            wanted, found = getattr(self, name), getattr(was, name)
            if wanted != found:
                raise ValueError(
                    f"`{name}` must be that of the index at {path!r}, {found!r}. "
                    f"Received: {wanted!r}. Pass another `path` to begin an index."
                )
        return self

    def same_engine(self, other: Settings) -> bool:
        """Whether a graph that was built for one serves the other."""
        return (self.search, self.search_params) == (other.search, other.search_params)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for JSON."""
        return {
            "embedding_size": self.embedding_size,
            "distance": _serialized(self.distance),
            "search": self.search,
            "target_recall": self.target_recall,
            "search_params": dict(self.search_params or {}),
            "background": self.background,
            "storage": self.storage,
        }


def _serialized(distance: distances.Distance) -> Any:
    """The name of a distance of this package, the Keras config of any other."""
    if distance.name in distances.names() and distances.get(distance.name) == distance:
        return distance.name
    return keras.saving.serialize_keras_object(distance)
