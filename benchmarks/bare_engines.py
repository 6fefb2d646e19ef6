"""What the libraries of the engines do without an index: the peers of its benchmarks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tensorflow_similarity.index import engines
from tensorflow_similarity.index.engines.nmslib import _nmslib

__all__ = ["PEERS", "K", "bare_build"]

#: Neighbours that are looked for.
K = 10
#: Engines that are built by a library.
PEERS = ("faiss", "faiss_ivf", "faiss_pq", "nmslib", "scann", "usearch")


def bare_build(name: str, keys: np.ndarray, params: dict[str, Any]) -> Any:
    """The library's own calls, with parameters of the engine of that name, on unit rows."""
    n, dim = keys.shape
    library = _nmslib() if name == "nmslib" else engines.get(name)("cosine", {})._library
    m, ef = params.get("M", 16), params.get("efConstruction", 100)
    if name == "nmslib":
        graph = library.init(method="hnsw", space="cosinesimil")
        graph.addDataPointBatch(keys)
        graph.createIndex({"M": m, "efConstruction": ef, "post": 0}, print_progress=False)
        return graph
    if name == "usearch":
        graph = library.Index(ndim=dim, metric="ip", dtype="f32", connectivity=m, expansion_add=ef)
        graph.add(np.arange(n, dtype=np.uint64), keys)
        return graph
    if name == "faiss":
        graph = library.IndexHNSWFlat(dim, m, library.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = ef
        graph.add(keys)
        return graph
    if name == "faiss_ivf":
        centres = library.IndexFlatIP(dim)
        lists = library.IndexIVFFlat(
            centres,
            dim,
            params.get("nlist") or round(4 * math.sqrt(n)),
            library.METRIC_INNER_PRODUCT,
        )
        lists.train(keys)
        lists.add(keys)
        return lists, centres
    if name == "faiss_pq":
        centres, block = library.IndexFlatL2(dim), params.get("dimensions_per_block", 4)
        count = params.get("nlist") or round(2 * math.sqrt(n))
        codes = library.IndexIVFPQFastScan(centres, dim, count, dim // block, 4)
        codes.train(keys)
        codes.add(keys)
        return codes, centres
    if name == "scann":
        builder = library.scann_ops_pybind.builder(keys, K, "dot_product")
        builder = builder.tree(params.get("num_leaves") or round(2 * math.sqrt(n)), 1)
        builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100)
        return builder.build()
    raise ValueError(f"No library is known for the engine {name!r}.")
