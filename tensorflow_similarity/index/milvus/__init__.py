"""An index whose records live in Milvus: in a file beside the program, or on a cluster."""

from tensorflow_similarity.index.milvus.index import MilvusIndex

__all__ = ["MilvusIndex"]
