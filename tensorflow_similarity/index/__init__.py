"""Indexes: records with embeddings that can be searched, added, changed and deleted."""

from tensorflow_similarity.index._errors import (
    CorruptIndexError,
    IndexFileError,
    IndexLockedError,
    NewerIndexError,
)
from tensorflow_similarity.index._graphs import MeasuredRecall
from tensorflow_similarity.index._index import Index
from tensorflow_similarity.index._records import Records
from tensorflow_similarity.index._reranking import KReciprocal, expand_queries
from tensorflow_similarity.index._results import Lookup, Neighbors
from tensorflow_similarity.index._within import Groups, NeighborsWithin, Pairs
from tensorflow_similarity.index.engines import Engine, register
from tensorflow_similarity.index.engines.exact import exact_search
from tensorflow_similarity.index.milvus import CollectionNotFoundError, MilvusIndex

__all__ = [
    "CollectionNotFoundError",
    "CorruptIndexError",
    "Engine",
    "Groups",
    "Index",
    "IndexFileError",
    "IndexLockedError",
    "KReciprocal",
    "Lookup",
    "MeasuredRecall",
    "MilvusIndex",
    "Neighbors",
    "NeighborsWithin",
    "NewerIndexError",
    "Pairs",
    "Records",
    "exact_search",
    "expand_queries",
    "register",
]


def __dir__() -> list[str]:
    return sorted(__all__)
