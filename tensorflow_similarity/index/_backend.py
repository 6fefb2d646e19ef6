"""The protocol between an `Index` and the storage of its records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tensorflow_similarity.distances import Distance
from tensorflow_similarity.index._answers import Wanted
from tensorflow_similarity.index._conditions import Condition
from tensorflow_similarity.index._graphs import MeasuredRecall
from tensorflow_similarity.index._metadata import Notes
from tensorflow_similarity.index._payload import JsonPayload
from tensorflow_similarity.index._records import Batch, Rows
from tensorflow_similarity.index._search import State

__all__ = ["Backend", "Changes", "Group", "Nearest", "Selected", "Within"]

#: Some of the queries (None for all), and what must hold for the records that they find.
Group = tuple[np.ndarray | None, Condition | None]
#: The columns of a `Batch` to replace in the records with these ids; checks them, too.
Changes = Callable[[np.ndarray], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Selected:
    """Some records.

    Attributes:
        source: Rows that hold them.
        rows: Which of these they are: int64 `[n]`.
    """

    source: Rows
    rows: np.ndarray


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The nearest records of some queries.

    Attributes:
        source: Rows that hold them.
        rows: Which of these they are: int64 `[q, k]`, nearest first, padded with -1.
        distances: float32 `[q, k]`, padded with inf.
    """

    source: Rows
    rows: np.ndarray
    distances: np.ndarray


@dataclasses.dataclass(frozen=True)
class Within:
    """The records within a distance of some queries.

    Attributes:
        source: Rows that hold them.
        offsets: Where those of each query begin: int64 `[q + 1]`.
        rows: Which of the source they are: int64 `[m]`, nearest first for each query.
        distances: float32 `[m]`.
    """

    source: Rows
    offsets: np.ndarray
    rows: np.ndarray
    distances: np.ndarray


class Backend(Protocol):
    """Stores, searches and changes the records of one `Index`.

    `Index` checks all arguments before they come here, and makes what is returned of what
    comes from here: filters are parsed conditions, records are columns. A backend refuses
    only what it cannot do itself, with an error that says so. Any thread may call any method.

    Attributes:
        calibration: What decides on matches from distances, or None. Kept when it is set.
    """

    calibration: Any

    # -- What it is -------------------------------------------------------------------------

    @property
    def embedding_size(self) -> int:
        """Numbers in an embedding."""

    @property
    def distance(self) -> Distance:
        """The distance."""

    @property
    def search(self) -> Any:
        """The requested search."""

    @property
    def storage(self) -> str:
        """How embeddings are stored."""

    @property
    def engine(self) -> str:
        """The engine that searches at present."""

    @property
    def recall(self) -> MeasuredRecall | None:
        """The last measured recall of the engine; None for exact search."""

    @property
    def path(self) -> str | None:
        """The folder that keeps the records; None if there is none."""

    @property
    def notes(self) -> Notes:
        """Notes, each stored as soon as it is set."""

    def latest_notes(self) -> Notes:
        """The notes, including changes by other programs."""

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor of its index, for JSON."""

    def stats(self) -> dict[str, Any]:
        """Figures by name, as `Index.stats` gives them."""

    # -- Records ----------------------------------------------------------------------------

    def count(self, where: Condition | None = None) -> int:
        """The number of records that meet a condition; None for all."""

    def ids(self, where: Condition | None = None) -> np.ndarray:
        """Their ids, in increasing order: int64 `[n]`."""

    def where(self, where: Condition | None = None, most: int | None = None) -> Selected:
        """The records themselves, in the order of their ids: those before place `most`."""

    def at(self, ids: np.ndarray) -> Selected:
        """The records with these ids, in this order. KeyError if an id is not in use."""

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Which ids are in use: bool `[n]`."""

    def keyed(self) -> bool:
        """Whether its records have keys."""

    def ids_of(self, keys: JsonPayload) -> np.ndarray:
        """The ids of keys: int64 `[n]`, -1 where one is not in use."""

    def has_labels(self) -> bool:
        """Whether a record has a label."""

    # -- Searching --------------------------------------------------------------------------

    def check_k(self, k: int, offset: int, queries: int) -> None:
        """Refuses more neighbours than it can give. ValueError if it cannot."""

    def nearest(self, queries: np.ndarray, wanted: Wanted, groups: list[Group]) -> Nearest:
        """The nearest records of each query, which is in one of the groups."""

    def within(self, queries: np.ndarray, limit: float, where: Condition | None) -> Within:
        """All records within a distance of each query, for which a condition holds."""

    def snapshot(self, where: Condition | None = None) -> tuple[State, np.ndarray | None]:
        """The records to compare with one another, and which of the rows; None for all."""

    def measure_recall(self, queries: np.ndarray | None, k: int) -> MeasuredRecall | None:
        """Measures the recall; None if it cannot be known."""

    # -- Changes ----------------------------------------------------------------------------

    def add(self, batch: Batch, assign: bool) -> np.ndarray:
        """Adds records under their ids, or (`assign`) under new ones; gives these.

        ValueError if an id is in use, or the payload does not fit. Nothing has changed then.
        """

    def upsert(self, batch: Batch) -> np.ndarray:
        """Adds records in place of those with the same ids, or keys; gives their ids."""

    def update(self, ids: np.ndarray | None, where: Condition | None, changes: Changes) -> None:
        """Changes the records with these ids, or (None) those for which a condition holds.

        Which those are stays true until they are changed. KeyError if an id is not in use.
        """

    def delete(self, ids: np.ndarray | None, where: Condition | None) -> None:
        """Deletes the records with these ids, or those for which a condition holds; likewise."""

    def clear(self) -> None:
        """Deletes all records."""

    def compact(self) -> None:
        """Frees the memory of deleted records, and rebuilds the graph."""

    # -- Outside ----------------------------------------------------------------------------

    def save(self, path: str | None) -> None:
        """Writes a file that `Index.load` reads; None: writes to its own storage."""

    def content(self) -> bytes:
        """The content of such a file, to make a copy of. TypeError if that is impossible."""

    def refresh(self) -> bool:
        """Reads the changes of others; returns whether there were any."""

    def close(self) -> None:
        """Releases all resources. May be called more than once."""
