"""What an approximate search engine has to offer."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

__all__ = ["Engine"]


class Engine(abc.ABC):
    """An immutable approximate searcher over the rows of one matrix.

    That is all an engine is asked for. Everything else is done once for all
    engines by the index: ids, additions, deletions, filters, true distances,
    padding, checks of arguments. Whatever an engine gets, is valid: finite
    float32, C-contiguous, of the right size, and at least one row.

    To add an engine, write a subclass in a module of its own and name it in
    `engines.__init__`. The conformance tests then run over it.

    Args:
        distance: The canonical name of the distance, one of `distances`.
        params: Parameters of the engine, by the engine's own names.

    Raises:
        ValueError: If a parameter is unknown, or out of range.
    """

    #: The name users choose it by.
    name: ClassVar[str]
    #: Canonical names of the distances it knows.
    distances: ClassVar[frozenset[str]]
    #: What may be tried for `effort`, from fast to thorough.
    efforts: ClassVar[tuple[int, ...]] = ()

    def __init__(self, distance: str, params: Mapping[str, Any]) -> None:
        self.distance = distance
        self.params = dict(params)
        #: How hard a search tries (`ef`, `nprobe`, …): more is slower and finds more.
        self.effort: int = self.efforts[0] if self.efforts else 0

    @property
    def fixed_effort(self) -> int | None:
        """The effort a user asked for through `params`; None: to be measured."""
        return None

    @abc.abstractmethod
    def build(self, vectors: np.ndarray) -> None:
        """Builds the searcher, from float32 `[n, dim]`. Called once, before anything else."""

    @abc.abstractmethod
    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Near rows of each query, in any order.

        Several threads may call this at once.

        Args:
            queries: float32 `[q, dim]`, `q >= 1`.
            k: How many, between 1 and the number of rows.

        Returns:
            Positions in what was built, int64 `[q, m]` where `m <= k`; -1 where
            nothing was found.
        """

    @abc.abstractmethod
    def content(self) -> Iterator[bytes]:
        """All there is to save, in pieces. Several threads may call this at once."""

    @abc.abstractmethod
    def load(self, path: str) -> None:
        """Reads a file with that content, in place of `build`.

        The file has been verified, and goes away afterwards.
        """
