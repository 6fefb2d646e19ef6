"""HNSW graphs by usearch."""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tensorflow_similarity.distances.rows import unit_rows
from tensorflow_similarity.index._columns import ALIGNMENT, aligned_empty
from tensorflow_similarity.index.engines.effort_gate import EffortGate
from tensorflow_similarity.index.engines.files import pieces, temporary_folder
from tensorflow_similarity.index.engines.graph_files import check_usearch
from tensorflow_similarity.index.engines.hnsw import HnswEngine

__all__ = ["UsearchEngine"]

# Rows normalised and added at a time.
_BLOCK = 1 << 16
# Threads that add at the same time make some rows that no search comes to
# (https://github.com/unum-cloud/USearch/issues/735): one in 300 of few, and no more than
# any graph has where there are many. Up to here one thread adds, which takes seconds.
_FEW = 1 << 14
_TYPES = {"float32": "f32", "bfloat16": "bf16"}
# Files start with the number of rows and the bytes per row, then rows, then links.
_SHAPE = struct.Struct("<II")
# What the part with links starts with.
_MAGIC = b"usearch"


class UsearchEngine(HnswEngine):
    """HNSW by usearch.

    Args:
        distance: Canonical name of the distance.
        params: `M` (links per node, 16), `efConstruction` (100), `ef` (else chosen by
            measured recall), `dtype`: how the graph holds the vectors, `"float32"` (those of the
            index itself, where it can), or a copy in `"bfloat16"` (half the memory). Distances
            are true ones all the same.
    """

    name: ClassVar[str] = "usearch"
    library: ClassVar[str | None] = "usearch.index"
    extra: ClassVar[str | None] = "usearch"
    in_place: ClassVar[bool] = True
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": tuple(_TYPES)}
    _index: Any

    def build(self, vectors: np.ndarray) -> None:
        self._use(self._new(vectors.shape[1]))
        shares = self._as_they_are(vectors) and _files_are_known()
        for start in range(0, len(vectors), _BLOCK):
            rows = vectors[start : start + _BLOCK]
            # What is not copied must be the rows themselves, that are here to stay.
            rows = rows if shares else self._rows(rows)
            keys = np.arange(start, start + len(rows), dtype=np.uint64)
            threads = 1 if len(vectors) <= _FEW else 0
            self._index.add(keys, rows, copy=not shares, threads=threads)
        self.shared = vectors if shares else None

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        rows = self._rows(queries)
        self._gate.enter(self._ef(k))
        try:
            if len(rows) == 1:  # for which it needs no second thread
                return self._index.search(rows[0], k, threads=1).keys[None].astype(np.int64)
            found = self._index.search(rows, k)
        finally:
            self._gate.leave()
        positions = found.keys.astype(np.int64)
        # Unused places hold arbitrary keys, which may be valid ones.
        short = np.flatnonzero(found.counts < positions.shape[1])
        if len(short):
            beyond = np.arange(positions.shape[1]) >= found.counts[short, None]
            positions[short] = np.where(beyond, -1, positions[short])
        return positions

    def content(self) -> Iterator[bytes]:
        with temporary_folder() as folder:
            path = os.path.join(folder, "graph")
            self._index.save(path)
            yield from pieces(path, 0 if self.shared is None else _links_of(path, self.shared))

    def check(self, path: str, rows: int, dim: int) -> None:
        with open(path, "rb") as file:
            alone = file.read(len(_MAGIC)) == _MAGIC
        number = 2 if self.params.get("dtype") == "bfloat16" else 4
        check_usearch(path, rows, dim, number, with_rows=not alone)

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        if vectors is None:
            self._use(self._library.Index.restore(path))
            return
        # The library reads rows and links from one piece of memory.
        start, size = ALIGNMENT, vectors.nbytes
        whole = aligned_empty((start + size + os.path.getsize(path),), np.uint8)
        whole[start - _SHAPE.size : start] = np.frombuffer(_shape(vectors), np.uint8)
        self.shared = whole[start : start + size].view(np.float32).reshape(vectors.shape)
        self.shared[:] = vectors
        with open(path, "rb") as file:
            file.readinto(whole[start + size :].data)
        memory = whole[start - _SHAPE.size :].data
        self._use(self._library.Index.restore(memory, view=True))

    def _new(self, dim: int) -> Any:
        return self._library.Index(
            ndim=dim,
            # Of rows of length 1 where it is the cosine.
            metric="ip" if self.distance in ("cosine", "inner_product") else "l2sq",
            dtype=_TYPES[self.params.get("dtype", "float32")],  # otherwise it uses bfloat16
            connectivity=self._param("M"),
            expansion_add=self._param("efConstruction"),
        )

    def _use(self, index: Any) -> None:
        self._index = index
        self._gate = EffortGate(lambda ef: setattr(index, "expansion_search", ef))

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return unit_rows(rows) if self.distance == "cosine" else rows


def _shape(rows: np.ndarray) -> bytes:
    return _SHAPE.pack(len(rows), rows[:1].nbytes)


def _links_of(path: str, rows: np.ndarray) -> int:
    """The position in a usearch file where the rows end and the links begin."""
    with open(path, "rb") as file:
        if file.read(_SHAPE.size) != _shape(rows):
            raise RuntimeError("usearch wrote a file that is not understood.")
    return _SHAPE.size + rows.nbytes


@functools.cache
def _files_are_known() -> bool:
    """Whether this version of the library writes files in the known format."""
    rows = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    index = UsearchEngine("euclidean", {})._new(4)
    index.add(np.arange(3, dtype=np.uint64), rows, threads=1)
    return bytes(index.save()).startswith(_shape(rows) + rows.tobytes())
