"""An index whose records live in Milvus: in a file beside the program, or on a cluster."""

from tensorflow_similarity.index.milvus.index import MilvusIndex
from tensorflow_similarity.index.milvus.opening import CollectionNotFoundError

__all__ = ["CollectionNotFoundError", "MilvusIndex"]
