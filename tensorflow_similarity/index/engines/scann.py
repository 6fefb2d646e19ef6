"""Trees of quantised rows by ScaNN (Guo et al., 2020, https://arxiv.org/abs/1908.10396)."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tarfile
import types
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tensorflow_similarity.distances.rows import unit_rows
from tensorflow_similarity.index.engines.files import pieces, temporary_folder
from tensorflow_similarity.index.engines.hnsw import PRODUCT_DISTANCES
from tensorflow_similarity.index.engines.lists import ListsEngine

__all__ = ["ScannEngine"]

# A tree does not pay for fewer rows than this, and needs at least 16.
_FEWEST = 64
# The files of a saved searcher. ScaNN would also read a pickle, which is refused.
_SUFFIXES = (".json", ".npy", ".pb", ".pbtxt")
_SIZES = "sizes.json"
_TF_OPS = "scann.scann_ops.py.scann_ops"
# All cores are used from this many queries on.
_MANY = 32


class ScannEngine(ListsEngine):
    """ScaNN: a tree of partitions, scores of quantised rows, and true ones of the best.

    Args:
        distance: Canonical name of the distance.
        params: `num_leaves` (2 √n), `num_leaves_to_search` (else chosen by measured
            recall), `dimensions_per_block` (2), `reordering_num_neighbors` (what is scored
            truly: 10 k, or 4 for each leaf that is searched if that is more).
    """

    name: ClassVar[str] = "scann"
    library: ClassVar[str | None] = "scann"
    extra: ClassVar[str | None] = "scann"
    distances: ClassVar[frozenset[str]] = PRODUCT_DISTANCES
    parameters: ClassVar[Mapping[str, int]] = {
        "num_leaves": 1,
        "num_leaves_to_search": 1,
        "dimensions_per_block": 1,
        "reordering_num_neighbors": 1,
    }
    _searcher: Any

    @property
    def fixed_effort(self) -> int | None:
        return self.params.get("num_leaves_to_search")

    def build(self, vectors: np.ndarray) -> None:
        rows = self._rows(vectors)
        n, dim = rows.shape
        by_product = self.distance in ("cosine", "inner_product")
        builder = self._library.scann_ops_pybind.builder(
            rows, 10, "dot_product" if by_product else "squared_l2"
        )
        if n < _FEWEST:
            builder = builder.score_brute_force()
            self._know(n, 1)
        else:
            leaves = min(self.params.get("num_leaves", round(2 * math.sqrt(n))), n)
            self._know(n, leaves)
            builder = builder.tree(num_leaves=leaves, num_leaves_to_search=self.effort)
            builder = builder.score_ah(
                min(self.params.get("dimensions_per_block", 2), dim),
                anisotropic_quantization_threshold=0.2 if by_product else math.nan,
            ).reorder(100)
        self._searcher = builder.build()

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        rows = self._rows(queries)
        leaves = self._lists_for(k)
        usual = max(10 * k, 4 * leaves)
        reorder = min(max(self.params.get("reordering_num_neighbors", usual), k), self._size)
        if len(rows) == 1:
            found = self._searcher.search(rows[0], k, reorder, leaves)[0]
            return found[None].astype(np.int64)
        many = len(rows) >= _MANY
        search = self._searcher.search_batched_parallel if many else self._searcher.search_batched
        found, distances = search(rows, k, reorder, leaves)
        # Unused places hold 0, which is a valid position.
        return np.where(np.isnan(distances), -1, found.astype(np.int64))

    def content(self) -> Iterator[bytes]:
        with temporary_folder() as folder:
            os.mkdir(searcher := os.path.join(folder, "searcher"))
            self._searcher.serialize(searcher, relative_path=True)
            with open(os.path.join(searcher, _SIZES), "w") as file:
                json.dump([self._size, self._lists], file)
            with tarfile.open(path := os.path.join(folder, "tar"), "w") as tar:
                for name in sorted(os.listdir(searcher)):
                    tar.add(os.path.join(searcher, name), name, filter=_anonymous)
            yield from pieces(path)

    def load(self, path: str, vectors: np.ndarray | None = None) -> None:
        with temporary_folder() as folder:
            # Only as `content` writes it. A compressed archive may hold a thousand times its size,
            # and a sparse member declares what is not in the file.
            with tarfile.open(path, "r:") as tar:
                left = os.path.getsize(path)
                for member in tar:
                    left -= member.size
                    if left < 0 or member.issparse():
                        raise ValueError(f"No file of a ScaNN searcher: {member.name!r}.")
                    _extract(tar, member, folder)
            self._searcher = self._library.scann_ops_pybind.load_searcher(folder)
            with open(os.path.join(folder, _SIZES)) as file:
                self._know(*json.load(file))

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        return unit_rows(rows) if self.distance == "cosine" else rows

    @classmethod
    def _import(cls) -> Any:
        # Its package also loads operations of TensorFlow, which fail beside any version but
        # the one they were built for. They are not needed.
        own = _TF_OPS not in sys.modules and "scann" not in sys.modules
        if own:
            sys.modules[_TF_OPS] = types.ModuleType(_TF_OPS)
        return super()._import()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Removes the user name and the time from an archive entry."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    name = member.name
    if not member.isfile() or os.path.basename(name) != name or not name.endswith(_SUFFIXES):
        raise ValueError(f"No file of a ScaNN searcher: {name!r}.")
    source = tar.extractfile(member)
    with open(os.path.join(folder, name), "wb") as file:
        shutil.copyfileobj(source, file)  # type: ignore[arg-type]
