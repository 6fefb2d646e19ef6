"""HNSW graphs by nmslib (Malkov and Yashunin, 2016, https://arxiv.org/abs/1603.09320)."""

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

from tensorflow_similarity import checks
from tensorflow_similarity.index.engines.base import Engine

__all__ = ["NmslibEngine"]

# nmslib 2.1.2 squares "l2" in its optimised HNSW, and normalises in "cosinesimil".
_SPACES = {
    "cosine": "cosinesimil",
    "euclidean": "l2",
    "inner_product": "negdotprod",
    "squared_euclidean": "l2",
}
# Parameters that users may pass, with nmslib's names, and their smallest values:
# below them nmslib builds a graph that finds next to nothing, and says nothing.
_SMALLEST = {"M": 2, "efConstruction": 1, "ef": 1, "indexThreadQty": 1, "post": 0}
_PIECE = 1 << 24
_DEFAULTS = {"M": 16, "efConstruction": 100, "post": 0}


class NmslibEngine(Engine):
    """HNSW. It can neither add nor delete, which is the index's business.

    Args:
        distance: Canonical name of the distance.
        params: `M` (links per node, 16), `efConstruction` (100), `post` (0), `ef` (else
            chosen by measured recall), `indexThreadQty` (all cores).
    """

    name: ClassVar[str] = "nmslib"
    distances: ClassVar[frozenset[str]] = frozenset(_SPACES)
    efforts: ClassVar[tuple[int, ...]] = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)

    def __init__(self, distance: str, params: Mapping[str, Any]) -> None:
        super().__init__(distance, params)
        for key, value in self.params.items():
            if key not in _SMALLEST:
                raise ValueError(
                    f"Unknown parameter of the engine 'nmslib' in `search_params`. Expected any "
                    f"of {sorted(_SMALLEST)}. Received: {key!r}."
                )
            checks.count(value, f"search_params[{key!r}]", minimum=_SMALLEST[key])
        self.effort = self.fixed_effort or self.efforts[0]
        self._gate = _EffortGate()
        self._reading = threading.Lock()

    @property
    def fixed_effort(self) -> int | None:
        return self.params.get("ef")

    def build(self, vectors: np.ndarray) -> None:
        library = _nmslib()
        graph = library.init(method="hnsw", space=_SPACES[self.distance])
        graph.addDataPointBatch(vectors)
        params = {**_DEFAULTS, **{k: v for k, v in self.params.items() if k != "ef"}}
        graph.createIndex(params, print_progress=False)
        # A graph that was built also holds a copy of every vector and of every
        # node; what is read back from its file holds only what searches need.
        with _temporary_folder() as folder:
            path = os.path.join(folder, "graph")
            graph.saveIndex(path, save_data=False)
            del graph
            self.load(path)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        # With ef < k lists come out short.
        self._gate.enter(max(self.effort, 2 * k), self._graph)
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

    def load(self, path: str) -> None:
        graph = _nmslib().init(method="hnsw", space=_SPACES[self.distance])
        graph.loadIndex(path, load_data=False)
        self._graph = graph
        self._gate = _EffortGate()
        # A graph that was read without its data writes an empty file, and no
        # error. So the file is kept: open, which outlives its name.
        self._file = open(path, "rb")  # noqa: SIM115
        weakref.finalize(self, self._file.close)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    # Where open files cannot be removed, what is left over is left to the system.
    return tempfile.TemporaryDirectory(prefix="tfsim_", ignore_cleanup_errors=True)


class _EffortGate:
    """Lets searches of equal effort run together, and others wait.

    `ef` is a setting of the whole graph in nmslib: changed under a running
    search it would change what that search finds. It is also lost whenever a
    graph is loaded, so a new gate knows of none.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._effort: int | None = None
        self._running = 0
        self._waiting = 0

    def enter(self, effort: int, graph: Any) -> None:
        """Waits until the graph has this effort; `leave` must follow."""
        with self._condition:
            # Who comes after one that waits for another effort waits too, or a
            # stream of equal searches would never let the other in.
            while self._running and (self._effort != effort or self._waiting):
                self._waiting += 1
                self._condition.wait()
                self._waiting -= 1
            if self._effort != effort:
                graph.setQueryTimeParams({"ef": effort})
                self._effort = effort
            self._running += 1

    def leave(self) -> None:
        """Ends a search."""
        with self._condition:
            self._running -= 1
            if not self._running:
                self._condition.notify_all()


@functools.cache
def _nmslib() -> Any:
    """The library, imported when first needed, without its advice on compilers.

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
