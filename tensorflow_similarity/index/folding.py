"""When an engine builds its graph, and of what.

Building costs as much as scanning every record ten thousand times, so it must
pay. The rule is that of renting or buying: records that no graph holds yet are
scanned, until that has cost as much as a graph that holds them. Whatever comes
after, the total is then at most twice what the best choice would have cost.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.search import FEW_ROWS, Graph, State
from tensorflow_similarity.index.tuning import MeasuredRecall, tune

__all__ = ["Folding"]

# Measured with HNSW (M = 16, efConstruction = 100): putting one record into a
# graph takes the time of comparing it with this many queries of a batch.
_BUILD_COST = 150_000
# A single query is bound by memory, and costs as much as this many of a batch.
_SINGLE_COST = 16
# With search="auto", numbers up to here are scanned in a few milliseconds by
# one query, and no graph is built.
_FAST_NUMBERS = 1 << 25


@dataclasses.dataclass
class Folding:
    """Decides on graphs, and builds them.

    Args:
        engine: The engine, or None to always scan.
        distance: The canonical name of the distance.
        params: The engine's parameters.
        target_recall: The recall to reach.
        automatic: Whether scanning all is preferred while it is fast.
        background: Whether a thread of its own builds.
    """

    engine: type[Engine] | None
    distance: str
    params: dict[str, object]
    target_recall: float
    automatic: bool
    background: bool = False
    debt: float = 0.0

    def new_engine(self) -> Engine | None:
        """An engine that has not built anything; None where scanning is the way."""
        if self.engine is None or self.distance not in self.engine.distances:
            return None
        return self.engine(self.distance, self.params)

    def owe(self, queries: int, scanned: int) -> None:
        """Counts the cost of a lookup that scanned so many rows per query."""
        each = 1 if queries > _SINGLE_COST else _SINGLE_COST
        self.debt += each * queries * scanned

    def worthwhile(self, state: State) -> bool:
        """Whether a graph of all records may be faster than scanning them."""
        rows = state.rows
        if self.engine is None or self.distance not in self.engine.distances:
            return False
        numbers = rows.live_count * rows.vectors.shape[1]
        return rows.live_count > FEW_ROWS and (not self.automatic or numbers > _FAST_NUMBERS)

    def due(self, state: State) -> bool:
        """Whether the next lookup should build first."""
        if state.graph is None and not self.automatic:
            return self.worthwhile(state)
        return self.debt > _BUILD_COST * state.rows.live_count and self.worthwhile(state)

    def build(self, state: State) -> tuple[Graph, MeasuredRecall] | None:
        """Builds a graph of all live records, at the effort that reaches the target."""
        engine = self.new_engine()
        if engine is None:
            return None
        rows = np.flatnonzero(state.rows.live)
        engine.build(state.rows.vectors[rows] if state.rows.dead else state.rows.vectors)
        graph = Graph(engine, rows, covered=len(state.rows))
        return graph, tune(state, graph, self.target_recall)
