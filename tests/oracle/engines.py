"""Every engine, with parameters at which it finds all of a few hundred records."""

from __future__ import annotations

import pytest

from tensorflow_similarity.index import engines

_GRAPH = {"M": 24, "efConstruction": 120, "ef": 600}

ENGINES = {
    "exact": {},
    "faiss": _GRAPH,
    "faiss_ivf": {"nlist": 8, "nprobe": 8},
    "faiss_pq": {"nlist": 8, "nprobe": 8, "rescore": 10_000},
    "nmslib": _GRAPH,
    "prefix": {"prefix": 3, "rescore": 10_000},
    "scann": {"num_leaves": 4, "num_leaves_to_search": 4, "reordering_num_neighbors": 10_000},
    "usearch": _GRAPH,
}


def require(engine):
    """Skips a test whose engine belongs to an extra that is not installed."""
    if engine != "exact" and not engines.get(engine).installed():
        pytest.skip(f"the library of the engine {engine!r}, an extra, is not installed")
