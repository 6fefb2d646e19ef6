"""HNSW graphs by nmslib."""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tensorflow_similarity.index.engines.effort_gate import EffortGate
from tensorflow_similarity.index.engines.files import temporary_folder
from tensorflow_similarity.index.engines.graph_files import check_nmslib
from tensorflow_similarity.index.engines.hnsw import HnswEngine
from tensorflow_similarity.index.engines.memory import give_back

__all__ = ["NmslibEngine"]

# nmslib 2.1.2 squares "l2" in its optimised HNSW, and normalises in "cosinesimil".
_SPACES = {
    "cosine": "cosinesimil",
    "euclidean": "l2",
    "inner_product": "negdotprod",
    "squared_euclidean": "l2",
}
_PIECE = 1 << 24


class NmslibEngine(HnswEngine):
    """HNSW by nmslib. It can neither add nor delete; the index takes care of that.

    Args:
        distance: Canonical name of the distance.
        params: `M` (links per node, 16), `efConstruction` (100), `post` (0), `ef` (else
            chosen by measured recall), `indexThreadQty` (all cores).
    """

    name: ClassVar[str] = "nmslib"
    parameters: ClassVar[Mapping[str, int]] = {
        **HnswEngine.parameters,
        "indexThreadQty": 1,
        "post": 0,
    }

    def __init__(self, distance: str, params: Mapping[str, Any]) -> None:
        super().__init__(distance, params)
        self._reading = threading.Lock()

    def build(self, vectors: np.ndarray) -> None:
        library = _nmslib()
        graph = library.init(method="hnsw", space=_SPACES[self.distance])
        graph.addDataPointBatch(vectors)
        params = {"post": 0, **self.builds[0], **self.params}
        params.pop("ef", None)  # of searches
        graph.createIndex(params, print_progress=False)
        # A graph that was built also holds a copy of every vector and of every
        # node; what is read back from its file holds only what searches need.
        with temporary_folder() as folder:
            path = os.path.join(folder, "graph")
            graph.saveIndex(path, save_data=False)
            del graph
            give_back()
            self.load(path)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        self._gate.enter(self._ef(k))
        try:
            if len(queries) == 1:
                found = [self._graph.knnQuery(queries[0], k=k)[0]]
            else:
                found = [ids for ids, _ in self._graph.knnQueryBatch(queries, k=k)]
        finally:
            self._gate.leave()
        if len(found) == 1:
            return found[0][None].astype(np.int64)
        lengths = {len(ids) for ids in found}
        if len(lengths) == 1:
            return np.concatenate(found).reshape(len(found), -1).astype(np.int64)
        table = np.full((len(found), max(lengths)), -1, np.int64)
        for row, ids in zip(table, found, strict=True):
            row[: len(ids)] = ids
        return table

    def content(self) -> Iterator[bytes]:
        offset = 0
        while True:
            with self._reading:
                self._file.seek(offset)
                piece = self._file.read(_PIECE)
            if not piece:
                return
            offset += len(piece)
            yield piece

    def check(self, path: str, rows: int, dim: int) -> None:
        check_nmslib(path, rows, dim)

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        graph = _nmslib().init(method="hnsw", space=_SPACES[self.distance])
        graph.loadIndex(path, load_data=False)
        self._graph = graph
        self._gate = EffortGate(lambda effort: graph.setQueryTimeParams({"ef": effort}))
        # A graph that was read without its data writes an empty file, and no
        # error. So the file is kept: open, which outlives its name.
        self._file = open(path, "rb")  # noqa: SIM115
        weakref.finalize(self, self._file.close)


@functools.cache
def _nmslib() -> Any:
    """The library, imported on first use, with its advice on compilers suppressed.

    It writes three lines to the process' standard error, past Python. Anything
    else that is written meanwhile is passed on.
    """
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError, ValueError):  # no standard error to keep quiet
        import nmslib

        return nmslib
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import nmslib
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            advice = (b"Your CPU supports", b"For maximum performance", b"pip install --no-binary")
            others = [line for line in caught if not line.startswith(advice)]
            if others:
                os.write(2, b"".join(others))
    return nmslib
