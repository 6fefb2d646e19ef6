"""Search over the first numbers of each row, of which the nearest are compared with all numbers.

Embeddings of Matryoshka representation learning (Kusupati et al., 2022,
https://arxiv.org/abs/2205.13147) tell most in their first numbers.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tensorflow_similarity import distances
from tensorflow_similarity.index._columns import aligned_empty
from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.exact import ExactScan
from tensorflow_similarity.index.engines.graph_files import require
from tensorflow_similarity.index.engines.hnsw import PRODUCT_DISTANCES

__all__ = ["PrefixEngine"]

# Rows, and numbers of each.
_SHAPE = struct.Struct("<QQ")
# Rows copied at a time.
_BLOCK = 1 << 16


class PrefixEngine(Engine):
    """Scans the first numbers of every row, exactly, and proposes the nearest by these.

    Args:
        distance: Canonical name of the distance.
        params: `prefix`: how many numbers are scanned (32, or 64, 128 and 256 where that does
            not reach the recall that is wanted); `rescore`: candidates for each neighbour,
            which are compared with all numbers (else chosen by measured recall).
    """

    name: ClassVar[str] = "prefix"
    distances: ClassVar[frozenset[str]] = PRODUCT_DISTANCES
    # It reads every row, so a trial on some of them does not predict its speed on all.
    automatic: ClassVar[bool] = False
    parameters: ClassVar[Mapping[str, int]] = {"prefix": 1, "rescore": 1}
    builds: ClassVar[tuple[Mapping[str, int], ...]] = (
        {"prefix": 32},
        {"prefix": 64},
        {"prefix": 128},
        {"prefix": 256},
    )
    efforts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    _rows: np.ndarray

    def __init__(self, distance: str, params: Mapping[str, Any]) -> None:
        super().__init__(distance, params)
        self._scan = ExactScan(distances.get(distance))

    @property
    def fixed_effort(self) -> int | None:
        return self.params.get("rescore")

    def build(self, vectors: np.ndarray) -> None:
        size = min(self.params.get("prefix", self.builds[0]["prefix"]), vectors.shape[1])
        self._rows = aligned_empty((len(vectors), size), np.float32)
        for start in range(0, len(vectors), _BLOCK):
            self._rows[start : start + _BLOCK] = vectors[start : start + _BLOCK, :size]

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        own = np.ascontiguousarray(queries[:, : self._rows.shape[1]])
        return self._scan.search(own, self._rows, min(self.effort * k, len(self._rows)))[0]

    def content(self) -> Iterator[bytes]:
        yield _SHAPE.pack(*self._rows.shape)
        for start in range(0, len(self._rows), _BLOCK):
            yield self._rows[start : start + _BLOCK].tobytes()

    def check(self, path: str, rows: int, dim: int) -> None:
        with open(path, "rb") as file:
            head = file.read(_SHAPE.size)
        require(len(head) == _SHAPE.size, "it is truncated")
        count, size = _SHAPE.unpack(head)
        require(count == rows, f"it is of {count} rows, and should be of {rows}")
        require(1 <= size <= dim, f"its rows have {size} numbers, more than the {dim} of the index")
        length = _SHAPE.size + 4 * count * size
        require(os.path.getsize(path) == length, "its end is not where it says")

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        with open(path, "rb") as file:
            self._rows = aligned_empty(_SHAPE.unpack(file.read(_SHAPE.size)), np.float32)
            file.readinto(self._rows.data)
        require(bool(np.isfinite(self._rows).all()), "its numbers are not finite")
