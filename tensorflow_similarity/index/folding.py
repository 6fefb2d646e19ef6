"""When an engine builds its graph, and of what.

Building costs as much as scanning every record ten thousand times, so it must
pay. The rule is that of renting or buying: records that no graph holds yet are
scanned, until that has cost as much as a graph that holds them. Whatever comes
after, the total is then at most twice what the best choice would have cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tensorflow_similarity.index import engines
from tensorflow_similarity.index.choosing import Built, build_reaching, takes, trial_order
from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.search import FEW_ROWS, Graph, State
from tensorflow_similarity.index.tuning import MeasuredRecall, Sample, seconds_exact

__all__ = ["Folding"]

# Measured with HNSW (M = 16, efConstruction = 100): putting one record into a
# graph takes the time of comparing it with this many queries of a batch.
_BUILD_COST = 150_000
# A single query is bound by memory, and costs as much as this many of a batch.
_SINGLE_COST = 16
# With search="auto", engines that are built on all records, at most, to find one that serves.
_TRIES = 2
# With search="auto", numbers up to here are scanned in a few milliseconds by
# one query, and no graph is built.
_FAST_NUMBERS = 1 << 25


@dataclasses.dataclass
class Folding:
    """Decides on graphs, and builds them.

    Args:
        engine: The engine, or None to always scan. With `automatic`, the one that
            is always installed.
        distance: The canonical name of the distance.
        params: The engine's parameters.
        target_recall: The recall to reach.
        automatic: Whether scanning all is preferred while it is fast, and the
            engine chosen from those that are installed.
        background: Whether a thread of its own builds.
        debt: What scanning has cost since a graph was built.
        in_vain: Records at which no graph was worth having.
    """

    engine: type[Engine] | None
    distance: str
    params: dict[str, Any]
    target_recall: float
    automatic: bool
    background: bool = False
    debt: float = 0.0
    in_vain: int = 0

    @property
    def in_place(self) -> bool:
        """Whether a graph may walk over the rows of the index itself."""
        return any(kind.in_place for kind in self._kinds())

    def new_engine(self) -> Engine | None:
        """An engine that has not built anything; None where scanning is the way."""
        kinds = self._kinds()
        return kinds[0](self.distance, self.params) if kinds else None

    def saved_engine(self, name: str | None, params: Mapping[str, Any] | None) -> Engine | None:
        """The engine to read a graph with; None where that is not installed any more.

        Args:
            name: Its name, None for the only one there was.
            params: What it was built with, likewise.
        """
        kinds = {kind.name: kind for kind in self._kinds()}
        if name is None:
            return self.new_engine()
        return kinds[name](self.distance, params or {}) if name in kinds else None

    def _kinds(self) -> list[type[Engine]]:
        if self.engine is None or self.distance not in self.engine.distances:
            return []
        if not self.automatic:
            return [self.engine]
        kinds = [kind for kind in engines.installed(self.distance) if takes(kind, self.params)]
        return kinds or [self.engine]  # which refuses its parameters

    def owe(self, queries: int, scanned: int) -> None:
        """Counts the cost of a lookup that scanned so many rows per query."""
        each = 1 if queries > _SINGLE_COST else _SINGLE_COST
        self.debt += each * queries * scanned

    def worthwhile(self, state: State) -> bool:
        """Whether a graph of all records may be faster than scanning them."""
        rows = state.rows
        if self.engine is None or self.distance not in self.engine.distances:
            return False
        if rows.live_count <= FEW_ROWS or not self.automatic:
            return rows.live_count > FEW_ROWS
        numbers = rows.live_count * rows.vectors.shape[1]
        return numbers > _FAST_NUMBERS and rows.live_count > 2 * self.in_vain

    def due(self, state: State) -> bool:
        """Whether the next lookup should build first."""
        if state.graph is None and not self.automatic:
            return self.worthwhile(state)
        return self.debt > _BUILD_COST * state.rows.live_count and self.worthwhile(state)

    def build(self, state: State) -> tuple[Graph | None, MeasuredRecall | None] | None:
        """Builds a graph of all live records, at the effort that reaches the target.

        Returns:
            The graph and what it was measured to find. Nothing in their place
            where the engine may be chosen, and none is better than scanning.
            None where there is no engine.
        """
        kinds = self._kinds()
        if not kinds:
            return None
        sample = Sample.of(state)
        if not self.automatic:
            built = build_reaching(kinds[0], self.params, state, self.target_recall, sample)
            return built.graph, built.recall
        for kind in trial_order(kinds, self.params, state, self.target_recall)[:_TRIES]:
            built = build_reaching(kind, self.params, state, self.target_recall, sample)
            if self._serves(built, state, sample):
                return built.graph, built.recall
        self.in_vain = state.rows.live_count
        return None, None

    def _serves(self, built: Built, state: State, sample: Sample) -> bool:
        """Whether a graph finds what is wanted, or what the user settled for, and quickly."""
        settled = built.graph.engine.fixed_effort is not None
        if not built.reached and not settled:
            return False
        own = built.recall.seconds + (built.recall.latency or 0)
        return own < sum(seconds_exact(state, sample))
