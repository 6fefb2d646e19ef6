"""An index whose records are stored in Milvus: in a local file, or on a cluster."""

from tensorflow_similarity.index.milvus.index import MilvusIndex
from tensorflow_similarity.index.milvus.opening import CollectionNotFoundError

__all__ = ["CollectionNotFoundError", "MilvusIndex"]
