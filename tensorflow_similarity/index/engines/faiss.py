"""HNSW graphs and inverted lists by faiss (Douze et al., 2024, https://arxiv.org/abs/2401.08281)."""

from __future__ import annotations

import abc
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tensorflow_similarity.distances.rows import unit_rows
from tensorflow_similarity.index.engines.base import Engine
from tensorflow_similarity.index.engines.files import pieces, temporary_folder
from tensorflow_similarity.index.engines.forks import forked
from tensorflow_similarity.index.engines.graph_files import check_faiss, require
from tensorflow_similarity.index.engines.hnsw import PRODUCT_DISTANCES, HnswEngine
from tensorflow_similarity.index.engines.lists import ListsEngine

__all__ = ["FaissHnswEngine", "FaissIvfEngine", "FaissPqEngine"]

# Rows normalised and added at a time.
_BLOCK = 1 << 16
# Rows of a list, at the least: with fewer, faiss warns that its centres mean little.
_LIST_ROWS = 40
_MOST_LISTS = 1 << 16
# Numbers that a code of 4 bits tells apart, and the fewest rows that they can be learnt of.
_CODES = 16
# Candidates compared truly for each neighbour, for few lists and for many.
_RESCORED = 10, 64


class _FaissEngine(Engine):
    """Base of the faiss engines. Nothing is added after the build.

    A graph of faiss crashes under concurrent additions, and waits for ever
    under searches meanwhile. Searches bring their own effort along, so that
    those of other threads are not changed.
    """

    library: ClassVar[str | None] = "faiss"
    extra: ClassVar[str | None] = "faiss"
    distances: ClassVar[frozenset[str]] = PRODUCT_DISTANCES
    _index: Any

    def __init__(self, distance: str, params: Mapping[str, Any]) -> None:
        super().__init__(distance, params)
        self._efforts_made: dict[int, Any] = {}

    def _after_fork(self) -> None:
        """Avoids OpenMP in a forked process, whose threads stayed in the parent."""
        if forked():
            self._library.omp_set_num_threads(1)

    def content(self) -> Iterator[bytes]:
        without = 0 if self.shared is None else self._library.IO_FLAG_SKIP_STORAGE
        with temporary_folder() as folder:
            path = os.path.join(folder, "graph")
            self._library.write_index(self._index, path, without)
            yield from pieces(path)

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        self._index = self._library.read_index(path)

    def _at(self, effort: int) -> Any:
        """Parameters of a search; cached, because creating them is slow."""
        if effort not in self._efforts_made:
            self._efforts_made[effort] = self._parameters(effort)
        return self._efforts_made[effort]

    @abc.abstractmethod
    def _parameters(self, effort: int) -> Any:
        """Parameters of a search at some effort."""

    def _metric(self) -> int:
        by_product = self.distance in ("cosine", "inner_product")
        return self._library.METRIC_INNER_PRODUCT if by_product else self._library.METRIC_L2

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return unit_rows(rows) if self.distance == "cosine" else rows

    def _add(self, vectors: np.ndarray) -> None:
        for start in range(0, len(vectors), _BLOCK):
            self._index.add(self._rows(vectors[start : start + _BLOCK]))


class FaissHnswEngine(_FaissEngine, HnswEngine):
    """HNSW by faiss.

    Args:
        distance: Canonical name of the distance.
        params: `M` (links per node, 16), `efConstruction` (100), `ef` (else chosen by
            measured recall), `dtype`: how the graph holds the vectors, `"float32"` (those of the
            index itself, where it can), or a copy in `"bfloat16"` (half the memory) or `"int8"`
            (a quarter). Distances are true ones all the same.
    """

    name: ClassVar[str] = "faiss"
    in_place: ClassVar[bool] = True
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"dtype": ("float32", "bfloat16", "int8")}

    def build(self, vectors: np.ndarray) -> None:
        self._after_fork()
        faiss, dim = self._library, vectors.shape[1]
        types = {
            "bfloat16": faiss.ScalarQuantizer.QT_bf16,
            "int8": faiss.ScalarQuantizer.QT_8bit,
        }
        dtype = self.params.get("dtype")
        if dtype in types:
            self._index = faiss.IndexHNSWSQ(dim, types[dtype], self._param("M"), self._metric())
            self._index.train(self._rows(vectors[:: max(1, len(vectors) // _BLOCK)]))
        else:
            self._index = faiss.IndexHNSWFlat(dim, self._param("M"), self._metric())
        self._index.hnsw.efConstruction = self._param("efConstruction")
        self._add(vectors)
        if self._as_they_are(vectors):
            self._share(vectors)

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        if vectors is None:
            super().load(path)
            self._check_graph(self._index.ntotal, self._index.d, shares=False)
            return
        self._index = self._library.read_index(path, self._library.IO_FLAG_SKIP_STORAGE)
        self._check_graph(len(vectors), vectors.shape[1], shares=True)
        self._share(vectors)

    def check(self, path: str, rows: int, dim: int) -> None:
        check_faiss(path, rows, dim)

    def _check_graph(self, rows: int, dim: int, shares: bool) -> None:
        """Checks the links that searches follow, which faiss does not do when it reads a file.

        Raises:
            ValueError: If links or levels lead to rows that are not there.
        """
        index, array = self._index, self._library.vector_to_array
        require(hasattr(index, "hnsw"), "it is of another kind")
        require(index.ntotal == rows and index.d == dim, "it is of other rows")
        require(index.metric_type == self._metric(), "it is of another distance")
        storage = index.storage
        require(shares or (storage.ntotal == rows and storage.d == dim), "it is of other rows")
        graph = index.hnsw
        widths = array(graph.cum_nneighbor_per_level).astype(np.int64)
        levels, offsets = array(graph.levels).astype(np.int64), array(graph.offsets)
        links = array(graph.neighbors)
        require(len(levels) == rows and len(offsets) == rows + 1, "it is of other rows")
        fits = bool(((levels >= 1) & (levels < len(widths))).all())
        require(fits and bool((np.diff(widths) >= 0).all()), "its levels do not fit")
        require(offsets[0] == 0 and offsets[-1] == len(links), "links have another size")
        own = np.diff(offsets.astype(np.int64))
        require(bool((own == widths[levels]).all()), "links have another size")
        require(bool(((links >= -1) & (links < rows)).all()), "links lead to rows it has not")
        enters = 0 <= graph.entry_point < rows
        require(enters and graph.max_level == levels.max() - 1, "its levels do not fit")
        require(levels[graph.entry_point] == levels.max(), "its levels do not fit")
        for level in range(1, int(levels.max())):
            owners = np.flatnonzero(levels > level)
            at = offsets[owners].astype(np.int64)[:, None]
            linked = links[at + np.arange(widths[level], widths[level + 1])]
            linked = linked[linked >= 0]
            require(bool((levels[linked] > level).all()), "links lead to a level too high")

    def _share(self, vectors: np.ndarray) -> None:
        """Uses these rows from now on, and drops its own copy of them."""
        faiss, dim = self._library, vectors.shape[1]
        by_product = self._metric() == faiss.METRIC_INNER_PRODUCT
        rows = (faiss.IndexFlatIP if by_product else faiss.IndexFlatL2)(dim)
        # Nobody owns the memory, as far as faiss knows; it lives as long as `shared`.
        nobody = rows.codes.owner
        rows.codes = faiss.MaybeOwnedVectorUInt8.create_view(
            faiss.swig_ptr(vectors), vectors.nbytes, nobody
        )
        rows.ntotal = len(vectors)
        copy, self._index.storage = self._index.storage, rows
        self._index.own_fields = False
        if copy is not None:
            copy.this.own(True)  # and goes away
        self._shared_storage, self.shared = rows, vectors

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        self._after_fork()
        ask = min(2 * k, self._index.ntotal) if self.params.get("dtype") == "int8" else k
        return self._index.search(self._rows(queries), ask, params=self._at(self._ef(k)))[1]

    def _parameters(self, effort: int) -> Any:
        return self._library.SearchParametersHNSW(efSearch=effort)


class FaissIvfEngine(_FaissEngine, ListsEngine):
    """Inverted lists by faiss: rows in lists around centres, of which the nearest are read.

    Quick to build and, where rows are in clusters, to search. With `nprobe` at
    `nlist` it finds everything.

    Args:
        distance: Canonical name of the distance.
        params: `nlist` (4 √n), `nprobe` (else chosen by measured recall).
    """

    name: ClassVar[str] = "faiss_ivf"
    parameters: ClassVar[Mapping[str, int]] = {"nlist": 1, "nprobe": 1}
    #: Lists for each root of the number of rows.
    lists_per_root: ClassVar[int] = 4

    @property
    def fixed_effort(self) -> int | None:
        return self.params.get("nprobe")

    def build(self, vectors: np.ndarray) -> None:
        self._after_fork()
        faiss, n, dim = self._library, len(vectors), self._rows(vectors[:1]).shape[1]
        usual = min(round(self.lists_per_root * math.sqrt(n)), n // _LIST_ROWS, _MOST_LISTS)
        lists = min(max(self.params.get("nlist", usual), 1), n)
        centres = faiss.IndexFlat(dim, self._metric())
        self._index = self._untrained(centres, n, lists)
        # The centres live as long as the index does.
        centres.this.disown()
        self._index.own_fields = True
        self._index.cp.min_points_per_centroid = 1  # otherwise it writes to standard error
        sample = lists * self._index.cp.max_points_per_centroid
        self._index.train(self._rows(_sample(vectors, sample)))
        self._add(vectors)
        self._know(n, lists)

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        super().load(path)
        self._know(self._index.ntotal, self._index.nlist)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        self._after_fork()
        at = self._at(self._lists_for(k))
        return self._index.search(self._rows(queries), self._asked(k), params=at)[1]

    def _asked(self, k: int) -> int:
        """The number of candidates to request for k neighbours."""
        return k

    def _untrained(self, centres: Any, rows: int, lists: int) -> Any:
        """Empty inverted lists, not yet trained, for this many rows."""
        return self._library.IndexIVFFlat(centres, centres.d, lists, self._metric())

    def _parameters(self, effort: int) -> Any:
        return self._library.SearchParametersIVF(nprobe=effort)


class FaissPqEngine(FaissIvfEngine):
    """Inverted lists of short codes by faiss: product quantisation (Jégou et al., 2011).

    Every `dimensions_per_block` numbers of a row, less the centre of its list, are a code of
    4 bits (https://doi.org/10.1109/TPAMI.2010.57), scored 32 rows at a time (André et al.,
    https://arxiv.org/abs/1812.09162). 128 numbers take 16, 32 or 64 bytes, and 8 for the
    position. The index compares the best with what is stored of them, so that its answers
    have true distances.

    Args:
        distance: Canonical name of the distance.
        params: `dimensions_per_block` (4, or 2 or 1 where that does not reach the recall that
            is wanted), `rescore` (candidates for each neighbour: as many as lists are read, but
            at least 10 and at most 64), `nlist` (2 √n), `nprobe` (else chosen by measured
            recall).
    """

    name: ClassVar[str] = "faiss_pq"
    parameters: ClassVar[Mapping[str, int]] = {
        **FaissIvfEngine.parameters,
        "dimensions_per_block": 1,
        "rescore": 1,
    }
    builds: ClassVar[tuple[Mapping[str, int], ...]] = (
        {"dimensions_per_block": 4},
        {"dimensions_per_block": 2},
        {"dimensions_per_block": 1},
    )
    lists_per_root: ClassVar[int] = 2

    def _asked(self, k: int) -> int:
        each = self.params.get("rescore", min(max(self.effort, _RESCORED[0]), _RESCORED[1]))
        return min(each * k, self._size)

    def _untrained(self, centres: Any, rows: int, lists: int) -> Any:
        if rows < _CODES:  # of which no codes can be learnt
            return super()._untrained(centres, rows, lists)
        blocks = centres.d // self._block
        index = self._library.IndexIVFPQFastScan(
            centres, centres.d, lists, blocks, 4, self._metric()
        )
        index.pq.cp.min_points_per_centroid = 1
        return index

    @property
    def _block(self) -> int:
        return self.params.get("dimensions_per_block", self.builds[0]["dimensions_per_block"])

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        rows, short = super()._rows(rows), -rows.shape[1] % self._block
        return np.pad(rows, ((0, 0), (0, short))) if short else rows

    def _metric(self) -> int:
        # Of rows of length 1, where squares are scored with less error than products.
        if self.distance == "cosine":
            return self._library.METRIC_L2
        return super()._metric()


def _sample(vectors: np.ndarray, most: int) -> np.ndarray:
    """Some rows, spread over all: k-means copies together no more than it needs."""
    if len(vectors) <= most:
        return vectors
    rows = np.random.default_rng(0).choice(len(vectors), most, replace=False)
    return vectors[np.sort(rows)]
