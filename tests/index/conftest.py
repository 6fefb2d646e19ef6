"""Indexes whose graphs are used at any size, so that small tests walk them."""

from __future__ import annotations

import pytest

from tensorflow_similarity.index import Index, engines, folding, search

# Every engine, with parameters at which it finds all of a few hundred records.
GRAPH = {"M": 24, "efConstruction": 300, "ef": 600}
ENGINES = {
    "exact": {},
    "faiss": GRAPH,
    "faiss_ivf": {"nlist": 8, "nprobe": 8},
    "nmslib": GRAPH,
    "scann": {"num_leaves": 4, "num_leaves_to_search": 4, "reordering_num_neighbors": 10_000},
    "usearch": GRAPH,
}
PRODUCTS = ["cosine", "euclidean", "squared_euclidean", "inner_product"]


@pytest.fixture
def graphs_of_any_size(monkeypatch):
    """Uses graphs also where scanning would be faster."""
    monkeypatch.setattr(search, "FEW_ROWS", 0)
    monkeypatch.setattr(search, "_ROWS_PER_NEIGHBOR", 0)
    monkeypatch.setattr(folding, "FEW_ROWS", 0)


def require(engine):
    """Skips a test whose engine belongs to an extra that is not installed."""
    if engine != "exact" and not engines.get(engine).installed():
        pytest.skip(f"the library of the engine {engine!r}, an extra, is not installed")


@pytest.fixture(params=ENGINES)
def engine(request, graphs_of_any_size):
    """The name of each engine in turn, of those that are installed."""
    require(request.param)
    return request.param


@pytest.fixture
def make(engine):
    """Makes an index with the engine."""

    def index(embedding_size, distance="cosine", **arguments):
        arguments.setdefault("search_params", ENGINES[engine])
        return Index(embedding_size, distance, search=engine, **arguments)

    return index
