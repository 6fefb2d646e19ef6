"""Shared by engines with HNSW graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from tensorflow_similarity.distances import SPACES
from tensorflow_similarity.distances.rows import all_unit
from tensorflow_similarity.index.engines.base import Engine

__all__ = ["PRODUCT_DISTANCES", "HnswEngine"]

#: All spaces in which a matrix product ranks.
PRODUCT_DISTANCES = frozenset(SPACES)


class HnswEngine(Engine):
    """Base of the engines that search a hierarchical graph of neighbours.

    Malkov and Yashunin, 2016, https://arxiv.org/abs/1603.09320. The parameters
    have the paper's names in all of them: `M` (links per node, 16 by default),
    `efConstruction` (100) and `ef` (else chosen by measured recall).
    """

    distances: ClassVar[frozenset[str]] = PRODUCT_DISTANCES
    # With smaller values a graph finds next to nothing, and no library warns about it.
    parameters: ClassVar[Mapping[str, int]] = {"M": 2, "efConstruction": 1, "ef": 1}
    # On clustered data, a graph may stay below the target recall whatever `ef` is.
    # Only more links help then.
    builds: ClassVar[tuple[Mapping[str, int], ...]] = (
        {"M": 16, "efConstruction": 100},
        {"M": 32, "efConstruction": 200},
        {"M": 48, "efConstruction": 400},
    )
    efforts: tuple[int, ...] = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)

    @property
    def fixed_effort(self) -> int | None:
        return self.params.get("ef")

    def _param(self, key: str) -> int:
        return self.params.get(key, self.builds[0][key])

    def _as_they_are(self, vectors: np.ndarray) -> bool:
        """Whether the graph may be walked over the rows themselves: no copy is of other numbers."""
        exact = self.params.get("dtype", "float32") == "float32"
        return self.may_share and exact and (self.distance != "cosine" or all_unit(vectors))

    def _ef(self, k: int) -> int:
        # With ef < k lists come out short.
        return max(self.effort, 2 * k)
