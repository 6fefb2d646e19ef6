"""Indexes whose graphs are used at any size, so that small tests walk them."""

from __future__ import annotations

import pytest

from oracle.engines import ENGINES, require
from tensorflow_similarity.index import Index, _graphs, _search

PRODUCTS = ["cosine", "euclidean", "squared_euclidean", "inner_product"]


@pytest.fixture
def graphs_of_any_size(monkeypatch):
    """Uses graphs also where scanning would be faster."""
    monkeypatch.setattr(_search, "FEW_ROWS", 0)
    monkeypatch.setattr(_search, "_ROWS_PER_NEIGHBOR", 0)
    monkeypatch.setattr(_graphs, "FEW_ROWS", 0)
    # How long lookups take is said, and nothing here depends on it.
    monkeypatch.setattr(_graphs, "_BATCHES", 1)
    monkeypatch.setattr(_graphs, "_SINGLES", 1)


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
